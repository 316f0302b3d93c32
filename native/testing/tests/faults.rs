//! What the cluster can be told to do wrong, and how the client says so.

mod support;

use std::time::{Duration, Instant};

use support::{client, cluster, value, SOON};
use testing::{codes, Error, RDKafkaErrorCode, Record, State, TestClient, TestCluster};

#[test]
fn a_cluster_has_a_bootstrap_address_per_broker() {
    let cluster = TestCluster::new(3).unwrap();
    assert_eq!(cluster.bootstrap().split(',').count(), 3);
    for too_few_or_many in [0, 101, u16::MAX] {
        assert!(TestCluster::new(too_few_or_many).is_err());
    }
}

#[test]
fn a_topic_has_the_partitions_it_was_made_with() {
    let cluster = cluster("orders", 7);
    let client = client(&cluster, &[]);
    assert_eq!(client.partitions("orders", SOON).unwrap(), 7);
    let error = client.partitions("unheard-of", SOON).unwrap_err();
    assert_eq!(error.code(), RDKafkaErrorCode::UnknownTopicOrPartition);
    let error = cluster.create_topic("orders", 7).unwrap_err();
    assert_eq!(error.code(), RDKafkaErrorCode::TopicAlreadyExists);
    for too_few_or_many in [0, 10_001, i32::MAX] {
        let error = cluster.create_topic("none", too_few_or_many).unwrap_err();
        assert_eq!(error.code(), RDKafkaErrorCode::InvalidArgument);
    }
}

#[test]
fn topics_are_told_with_the_brokers_that_lead_and_follow() {
    let cluster = TestCluster::new(3).unwrap();
    cluster.create_topic("orders", 2).unwrap();
    let topics = client(&cluster, &[]).topics(SOON).unwrap();
    let (_, partitions) = topics.iter().find(|(name, _)| name == "orders").unwrap();
    assert_eq!(
        partitions.iter().map(|it| it.id).collect::<Vec<_>>(),
        [0, 1]
    );
    for partition in partitions {
        assert!((1..=3).contains(&partition.leader.unwrap()));
        let mut replicas = partition.replicas.clone();
        replicas.sort_unstable();
        assert_eq!(replicas, [1, 2, 3]);
        assert!(partition.in_sync.contains(&partition.leader.unwrap()));
    }
}

#[test]
fn producing_to_a_broker_that_is_down_ends_in_time_and_goes_on_when_it_is_up() {
    let cluster = cluster("orders", 1);
    let client = client(&cluster, &[("reconnect.backoff.max.ms", "100")]);
    cluster.broker(1, State::Down).unwrap();
    let started = Instant::now();
    let error = client
        .produce("orders", &[value(b"v")], Duration::from_millis(200))
        .unwrap_err();
    assert_eq!(error.code(), RDKafkaErrorCode::OperationTimedOut);
    assert!(started.elapsed() < Duration::from_secs(2));
    cluster.broker(1, State::Up).unwrap();
    assert_eq!(client.produce("orders", &[value(b"w")], SOON).unwrap(), [1]);
}

#[test]
fn a_refused_record_names_its_topic_and_partition() {
    let cluster = cluster("orders", 1);
    let client = client(&cluster, &[]);
    let code = RDKafkaErrorCode::MessageSizeTooLarge;
    cluster.request_errors(0, &[code as i32]).unwrap();
    let error = client.produce("orders", &[value(b"v")], SOON).unwrap_err();
    assert!(
        matches!(&error, Error::Kafka { call: "produce", code: found, topic: Some(topic), partition: Some(0) }
            if *found == code && topic == "orders"),
        "{error:?}"
    );
    assert!(error.to_string().starts_with("produce (orders/0): "));
    assert_eq!(client.produce("orders", &[value(b"v")], SOON).unwrap(), [0]);
}

#[test]
fn a_topic_error_holds_until_it_is_taken_back() {
    let cluster = cluster("orders", 1);
    let client = client(&cluster, &[]);
    let code = RDKafkaErrorCode::TopicAuthorizationFailed;
    cluster.topic_error("orders", code as i32).unwrap();
    for _ in 0..2 {
        let error = client.partitions("orders", SOON).unwrap_err();
        assert_eq!(error.code(), code);
    }
    cluster.topic_error("orders", 0).unwrap();
    assert_eq!(client.partitions("orders", SOON).unwrap(), 1);
}

#[test]
fn a_round_trip_time_delays_answers() {
    let cluster = cluster("orders", 1);
    let client = client(&cluster, &[]);
    client.partitions("orders", SOON).unwrap();
    let delay = Duration::from_millis(150);
    cluster.broker(1, State::Rtt(delay)).unwrap();
    let started = Instant::now();
    client.partitions("orders", SOON).unwrap();
    assert!(started.elapsed() >= delay);
}

#[test]
fn unknown_brokers_and_codes_are_errors() {
    let cluster = cluster("orders", 1);
    assert!(cluster.broker(9, State::Down).is_err());
    assert!(cluster.topic_error("orders", 12_345).is_err());
    assert!(cluster.request_errors(0, &[12_345]).is_err());
    assert!(cluster.topic_error("or\0ders", 0).is_err());
}

#[test]
fn codes_are_all_known_by_name() {
    let codes = codes();
    for known in [
        ("NO_ERROR", 0),
        ("OFFSET_OUT_OF_RANGE", 1),
        ("_TRANSPORT", -195),
    ] {
        assert!(codes.contains(&known), "{known:?}");
    }
}

#[test]
fn a_record_that_reaches_no_partition_names_its_topic_alone() {
    let cluster = cluster("orders", 1);
    let client = client(&cluster, &[("topic.metadata.propagation.max.ms", "1")]);
    let keyed = Record {
        partition: -1,
        key: Some(b"k"),
        ..Record::default()
    };
    let error = client.produce("ordres", &[keyed], SOON).unwrap_err();
    assert!(
        matches!(&error, Error::Kafka { topic: Some(topic), partition: None, .. } if topic == "ordres"),
        "{error:?}"
    );
}

#[test]
fn a_refused_property_is_named() {
    let unknown = TestClient::new(&[("no.such".into(), "1".into())]);
    let invalid = TestClient::new(&[("linger.ms".into(), "soon".into())]);
    let deadly = TestClient::new(&[("internal.termination.signal".into(), "9".into())]);
    for (result, name) in [
        (unknown, "no.such"),
        (invalid, "linger.ms"),
        (deadly, "internal.termination.signal"),
    ] {
        let error = result.err().unwrap();
        assert!(
            matches!(&error, Error::Config(reason) if reason.contains(name)),
            "{error:?}"
        );
        assert_eq!(error.code(), RDKafkaErrorCode::InvalidArgument);
    }
}

#[test]
fn topic_administration_which_the_mock_has_not_ends_in_time() {
    let cluster = cluster("orders", 1);
    let client = client(&cluster, &[]);
    let timeout = Duration::from_millis(300);
    let started = Instant::now();
    let errors = [
        client.create_topic("new", 1, 1, &[], timeout),
        client.add_partitions("orders", 2, timeout),
        client.delete_topic("orders", timeout),
    ];
    assert!(started.elapsed() < Duration::from_secs(5));
    for error in errors {
        assert_eq!(error.unwrap_err().code_name(), "_TIMED_OUT");
    }
    assert_eq!(client.partitions("orders", SOON).unwrap(), 1);
}

#[test]
fn a_produce_creates_no_topic_by_a_misspelt_name() {
    let cluster = cluster("orders", 1);
    let client = client(&cluster, &[("topic.metadata.propagation.max.ms", "1")]);
    let error = client.produce("ordres", &[value(b"v")], SOON).unwrap_err();
    assert_eq!(error.code_name(), "UNKNOWN_TOPIC_OR_PART");
    assert!(client.partitions("ordres", SOON).is_err());
}
