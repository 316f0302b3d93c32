//! The useful part of librdkafka's statistics, under librdkafka's own names.

use rdkafka::statistics::{Broker, ConsumerGroup, Partition, Statistics, Window};
use rustler::NifMap;

/// Decodes what librdkafka made, which may be a megabyte.
#[rustler::nif(schedule = "DirtyCpu")]
fn statistics(json: &str) -> Result<StatisticsMap, String> {
    let parsed: Statistics = serde_json::from_str(json).map_err(|error| error.to_string())?;
    Ok(parsed.into())
}

#[derive(NifMap)]
#[rustler(encode)]
struct StatisticsMap {
    time: i64,
    age: i64,
    replyq: i64,
    tx: i64,
    tx_bytes: i64,
    rx: i64,
    rx_bytes: i64,
    rxmsgs: i64,
    rxmsg_bytes: i64,
    cgrp: Option<GroupMap>,
    brokers: Vec<BrokerMap>,
    partitions: Vec<PartitionMap>,
}

impl From<Statistics> for StatisticsMap {
    fn from(it: Statistics) -> StatisticsMap {
        let mut brokers: Vec<_> = it.brokers.into_values().map(BrokerMap::from).collect();
        brokers.sort_unstable_by(|a, b| (a.nodeid, &a.name).cmp(&(b.nodeid, &b.name)));
        let mut partitions: Vec<PartitionMap> = Vec::new();
        for (topic, stats) in it.topics {
            // Below zero stands the one for records without a partition, which a consumer has not.
            let real = stats.partitions.into_values().filter(|p| p.partition >= 0);
            partitions.extend(real.map(|p| PartitionMap::of(&topic, p)));
        }
        partitions.sort_unstable_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        StatisticsMap {
            time: it.time,
            age: it.age,
            replyq: it.replyq,
            tx: it.tx,
            tx_bytes: it.tx_bytes,
            rx: it.rx,
            rx_bytes: it.rx_bytes,
            rxmsgs: it.rxmsgs,
            rxmsg_bytes: it.rxmsg_bytes,
            cgrp: it.cgrp.map(GroupMap::from),
            brokers,
            partitions,
        }
    }
}

#[derive(NifMap)]
#[rustler(encode)]
struct GroupMap {
    state: String,
    join_state: String,
    rebalance_age: i64,
    rebalance_cnt: i64,
    rebalance_reason: String,
    assignment_size: i32,
}

impl From<ConsumerGroup> for GroupMap {
    fn from(it: ConsumerGroup) -> GroupMap {
        GroupMap {
            state: it.state,
            join_state: it.join_state,
            rebalance_age: it.rebalance_age,
            rebalance_cnt: it.rebalance_cnt,
            rebalance_reason: it.rebalance_reason,
            assignment_size: it.assignment_size,
        }
    }
}

#[derive(NifMap)]
#[rustler(encode)]
struct BrokerMap {
    nodeid: i32,
    name: String,
    state: String,
    stateage: i64,
    outbuf_cnt: i64,
    waitresp_cnt: i64,
    tx: u64,
    txbytes: u64,
    txerrs: u64,
    txretries: u64,
    rx: u64,
    rxbytes: u64,
    rxerrs: u64,
    req_timeouts: u64,
    connects: Option<i64>,
    disconnects: Option<i64>,
    rtt: Option<WindowMap>,
    throttle: Option<WindowMap>,
}

impl From<Broker> for BrokerMap {
    fn from(it: Broker) -> BrokerMap {
        BrokerMap {
            nodeid: it.nodeid,
            name: it.name,
            state: it.state,
            stateage: it.stateage,
            outbuf_cnt: it.outbuf_cnt,
            waitresp_cnt: it.waitresp_cnt,
            tx: it.tx,
            txbytes: it.txbytes,
            txerrs: it.txerrs,
            txretries: it.txretries,
            rx: it.rx,
            rxbytes: it.rxbytes,
            rxerrs: it.rxerrs,
            req_timeouts: it.req_timeouts,
            connects: it.connects,
            disconnects: it.disconnects,
            rtt: it.rtt.map(WindowMap::from),
            throttle: it.throttle.map(WindowMap::from),
        }
    }
}

#[derive(NifMap)]
#[rustler(encode)]
struct WindowMap {
    min: i64,
    avg: i64,
    p50: i64,
    p99: i64,
    max: i64,
    cnt: i64,
}

impl From<Window> for WindowMap {
    fn from(it: Window) -> WindowMap {
        WindowMap {
            min: it.min,
            avg: it.avg,
            p50: it.p50,
            p99: it.p99,
            max: it.max,
            cnt: it.cnt,
        }
    }
}

#[derive(NifMap)]
#[rustler(encode)]
struct PartitionMap {
    topic: String,
    partition: i32,
    leader: i32,
    fetch_state: String,
    fetchq_cnt: i64,
    fetchq_size: u64,
    rxmsgs: u64,
    rxbytes: u64,
}

impl PartitionMap {
    fn of(topic: &str, it: Partition) -> PartitionMap {
        PartitionMap {
            topic: topic.to_owned(),
            partition: it.partition,
            leader: it.leader,
            fetch_state: it.fetch_state,
            fetchq_cnt: it.fetchq_cnt,
            fetchq_size: it.fetchq_size,
            rxmsgs: it.rxmsgs,
            rxbytes: it.rxbytes,
        }
    }
}
