//! Values as they are in real topics: JSON of a given length, no two alike within a pool.

use std::fmt::Write;

/// xorshift64: the same values in every run.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// `count` values of exactly `bytes` bytes, 60 at least.
pub fn pool(count: usize, bytes: usize) -> Vec<Vec<u8>> {
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    (0..count).map(|_| value(&mut chance, bytes)).collect()
}

// An order: as many lines as fit, and a note that fills it up.
fn value(chance: &mut Chance, bytes: usize) -> Vec<u8> {
    let mut text = format!("{{\"order\":{},\"lines\":[", chance.next() % 1_000_000_000);
    let mut separator = "";
    loop {
        let number = chance.next();
        let line = format!(
            "{separator}{{\"sku\":\"{:08x}\",\"count\":{},\"price\":\"{}.{:02}\"}}",
            number as u32,
            number >> 32 & 7,
            number >> 36 & 1023,
            number >> 48 & 63
        );
        // What is left takes the end, too.
        if text.len() + line.len() + 20 > bytes {
            break;
        }
        text.push_str(&line);
        separator = ",";
    }
    text.push_str("],\"note\":\"");
    while text.len() + 2 < bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{:016x}", chance.next());
    }
    text.truncate(bytes.saturating_sub(2));
    text.push_str("\"}");
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::pool;

    #[test]
    fn values_have_the_length_asked_for_and_differ() {
        for bytes in [100, 1024, 10_240] {
            let values = pool(3, bytes);
            assert!(values.iter().all(|value| value.len() == bytes));
            assert_ne!(values[0], values[1]);
            let text = std::str::from_utf8(&values[2]).unwrap();
            assert!(text.starts_with("{\"order\":") && text.ends_with("\"}"));
        }
    }
}
