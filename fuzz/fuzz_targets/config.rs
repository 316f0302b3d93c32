//! Properties as a caller may name them, `name=value` a line. All are taken, or the first that is
//! not is refused, by its name and without a word of what may be secret.
#![no_main]

use consumer::{check, Config, Error, Paused};
use libfuzzer_sys::fuzz_target;
use std::time::Duration;

/// What values of secrets begin with here, and nothing else has in it.
const SECRET: char = '§';

/// Words in the names of properties that hold secrets.
const SECRETS: &[&str] = &[
    "password",
    "secret",
    "private",
    "token",
    "credential",
    "assertion",
    "oauthbearer.config",
    "jaas",
    "kinit.cmd",
    "pem",
    "ssl_key",
];

fn property(line: &str) -> (String, String) {
    let (name, value) = line.split_once('=').unwrap_or((line, ""));
    let secret = SECRETS.iter().any(|word| name.contains(word));
    let value = if secret {
        format!("{SECRET}{value}")
    } else {
        value.to_owned()
    };
    (name.to_owned(), value)
}

fuzz_target!(|text: &str| {
    let text = text.replace(SECRET, "");
    // It names code to load.
    if text.contains("plugin.library.paths") {
        return;
    }
    let properties: Vec<_> = text.split('\n').map(property).collect();
    let refused = check(&properties).err();
    let alone = |one: &(String, String)| check(std::slice::from_ref(one)).err();
    let first = properties
        .iter()
        .find_map(|one| Some((&one.0, alone(one)?)));
    assert_eq!(
        format!("{refused:?}"),
        format!("{:?}", first.as_ref().map(|it| &it.1))
    );
    if let (Some(error), Some((name, _))) = (refused, first) {
        let shown = error.to_string();
        assert!(matches!(error, Error::Property { property, .. } if property == *name));
        assert!(shown.contains(&format!("{name:?}")), "{shown}");
        assert!(!shown.contains(SECRET) && shown.trim() == shown, "{shown}");
    }
    let config = Config {
        properties,
        topics: Vec::new(),
        lanes: 1,
        commit_interval: Duration::ZERO,
        commit_threshold: None,
        commit_by_hand: false,
        drain_timeout: Duration::ZERO,
        max_in_flight: 1,
        max_buffered_bytes: 1 << 20,
        chunk_size: None,
        unacked_timeout: None,
        paused: Paused::default(),
    };
    assert!(!format!("{config:?}").contains(SECRET));
});
