//! What this process has used, as Linux tells it: the same source as for the other connectors.

use std::fs;
use std::time::Duration;

use crate::Failure;

// Of a tick in /proc: 100 a second wherever Linux runs.
const TICK: Duration = Duration::from_millis(10);

/// User and system time of all threads.
pub fn cpu() -> Result<Duration, Failure> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The name, in parentheses, may have spaces.
    let fields = stat.rsplit(") ").next().unwrap_or_default();
    let ticks: Vec<u32> = fields
        .split(' ')
        .skip(11)
        .take(2)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    Ok(TICK * ticks.iter().sum())
}

/// The most memory it had at any time, in KiB.
pub fn peak_kib() -> Result<u64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.unwrap_or_default().parse()?)
}
