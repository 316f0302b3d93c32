//! What a member takes for its configuration, and how it refuses it.

#![allow(clippy::panic, clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use consumer::{check, Config, Consumer, Error, Event, PropertyFault, Sink};
use support::Lab;

struct Silence;

impl Sink for Silence {
    fn wake(&self, _: usize) {}
    fn event(&self, _: Event) {}
}

fn refusal(change: impl FnOnce(&mut Config)) -> Error {
    let lab = Lab::new(1);
    let mut config = lab.config();
    change(&mut config);
    Consumer::start(&config, Arc::new(Silence)).err().unwrap()
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn an_unknown_property_is_refused_by_its_name() {
    let errors = [
        refusal(|config| config.properties.push(pair("no.such", "1"))),
        check(&[pair("client.id", "x"), pair("no.such", "1")]).unwrap_err(),
    ];
    for error in errors {
        let Error::Property {
            property,
            fault,
            message,
        } = error
        else {
            panic!("{error:?}");
        };
        assert_eq!((&*property, fault), ("no.such", PropertyFault::Unknown));
        assert!(message.contains("no.such"), "{message}");
    }
}

#[test]
fn an_impossible_value_is_refused_by_its_property() {
    for (name, value) in [("fetch.wait.max.ms", "soon"), ("client.id", "a\0b")] {
        let errors = [
            refusal(|config| config.properties.push(pair(name, value))),
            check(&[pair(name, value)]).unwrap_err(),
        ];
        for error in errors {
            assert!(
                matches!(&error, Error::Property { property, fault: PropertyFault::Invalid, message }
                    if property == name && message.contains(name)),
                "{error:?}"
            );
        }
    }
}

#[test]
fn a_refusal_is_one_line_and_names_the_property_as_it_was_given() {
    let long = "no.such.".repeat(100);
    for (name, value) in [
        ("max.partition.fetch.bytes", "much"),
        ("fetch.wait.max.ms", "-1"),
        ("ssl.truststore.location", "/some/where"),
        (&long, "1"),
    ] {
        let shown = check(&[pair(name, value)]).unwrap_err().to_string();
        assert!(shown.contains(name), "{name}: {shown}");
        assert_eq!((shown.lines().count(), shown.trim()), (1, &*shown));
    }
}

#[test]
fn a_property_that_would_end_the_process_is_refused() {
    for name in ["internal.termination.signal", "ut_handle_ProduceResponse"] {
        let error = check(&[pair(name, "9")]).unwrap_err();
        assert!(
            matches!(&error, Error::Property { property, fault: PropertyFault::Invalid, .. }
                if property == name),
            "{error:?}"
        );
    }
}

#[test]
fn certificates_that_cannot_be_read_are_refused_and_not_freed_twice() {
    for (name, value) in [
        ("ssl.ca.pem", "no certificate"),
        ("ssl.certificate.pem", "no certificate"),
        ("ssl.key.pem", "no key"),
        ("ssl.ca.location", "/no/such/file"),
    ] {
        let error = refusal(|config| {
            config.properties.push(pair("security.protocol", "ssl"));
            config.properties.push(pair(name, value));
        });
        let Error::Create { message } = error else {
            panic!("{error:?}");
        };
        assert!(message.contains(name), "{name}: {message}");
    }
}

#[test]
fn properties_that_contradict_each_other_are_refused_as_a_whole() {
    let error = refusal(|config| {
        config.properties.push(pair("session.timeout.ms", "20000"));
        config
            .properties
            .push(pair("max.poll.interval.ms", "10000"));
    });
    let Error::Create { message } = &error else {
        panic!("{error:?}");
    };
    assert!(message.contains("max.poll.interval.ms"), "{message}");
    assert!(error.is_fatal() && !error.is_retryable());
}

#[test]
fn a_missing_group_is_refused() {
    let error = refusal(|config| config.properties.retain(|(name, _)| name != "group.id"));
    assert!(error.to_string().contains("group.id"), "{error}");
}

#[test]
fn known_properties_are_taken() {
    check(&[pair("fetch.wait.max.ms", "10"), pair("client.id", "me")]).unwrap();
    check(&[]).unwrap();
}

#[test]
fn what_delivery_rests_on_wins_over_the_callers_properties() {
    let lab = Lab::new(1);
    lab.fill(3);
    let mut member = lab.assigned_member(|config| {
        for (name, value) in [
            ("enable.auto.commit", "true"),
            ("enable.auto.offset.store", "true"),
            ("auto.commit.interval.ms", "1"),
            ("enable.partition.eof", "true"),
            ("auto.offset.reset", "largest"),
        ] {
            config.properties.push(pair(name, value));
        }
    });
    let got = member.take(3);
    member.ack(&got[..1]);
    member.committed(0, 1);
    // With librdkafka's own commits the two unacked ones would be committed by the close.
    member.close().unwrap();
    assert_eq!(lab.committed(), [Some(1)]);
}

#[test]
fn a_configuration_is_shown_without_its_values() {
    let mut config = Lab::new(1).config();
    config.properties.push(pair("sasl.password", "hunter2"));
    let shown = format!("{config:?}");
    assert!(shown.contains("sasl.password"), "{shown}");
    for (_, value) in &config.properties {
        assert!(!shown.contains(&format!("{value:?}")), "{shown}");
    }
    assert!(!shown.contains("hunter2"));
}

#[test]
fn a_lane_that_does_not_exist_is_refused() {
    let lab = Lab::new(1);
    let member = lab.member();
    let errors = [
        member.consumer().attach(1).unwrap_err(),
        member.consumer().pull(1, 1, || true).err().unwrap(),
    ];
    for error in errors {
        assert_eq!(error.to_string(), "lane 1 does not exist: lanes are 0..1");
    }
}
