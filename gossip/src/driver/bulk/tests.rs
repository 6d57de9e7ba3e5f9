//! Real nodes against peers that do not behave.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::{Connection, EndpointConfig, TokioRuntime};

use super::identity::{Identity, SERVER_NAME};
use super::transport;
use crate::driver::{Changes, Counters, Node, NodeConfig};
use crate::wire::{Answer, ClusterKey};

const KEYS: usize = 2_000;
/// When to give up on something that has to happen.
const BOUND: Duration = Duration::from_secs(60);
/// How long nodes here wait for a stream that stands still.
const PATIENCE: Duration = Duration::from_millis(300);

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, future).await.unwrap_or_else(|_| panic!("did not happen in {BOUND:?}: {what}"))
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn config(name: &str, seeds: &[&Node]) -> NodeConfig {
    let mut config = NodeConfig::new(name, loopback());
    config.seeds = seeds.iter().map(|node| node.local_addr().to_string()).collect();
    config.gossip_interval = Duration::from_millis(50);
    config.failure_timeout = Duration::from_secs(30);
    config.bulk_patience = PATIENCE;
    config.replica.log_bytes_max = 0; // whoever comes later needs buckets
    config
}

fn fill(node: &Node) {
    for key in 0..KEYS {
        node.with(|replica, now| {
            replica.write(now, 0, |w| w.set(format!("key {key}").as_bytes(), b"value")).expect("a small value");
            replica.flush(now);
        });
    }
}

/// Waits until a node has counted this, which it may do a moment after others have seen it done.
async fn counts(node: &Node, what: &str, is_counted: impl Fn(&Counters) -> bool) {
    let counted = async {
        while !is_counted(&node.counters()) {
            tokio::task::yield_now().await;
        }
    };
    within(what, counted).await;
}

async fn has_all_keys(node: &Node) {
    let mut changes: Changes = node.subscribe();
    let all = async {
        while node.read(|replica| replica.store().len()) < KEYS {
            changes.next().await.expect("the node runs");
        }
    };
    within("every key", all).await;
}

/// A QUIC endpoint of this cluster on a port of its own.
fn endpoint(cluster: &str, key: Option<&ClusterKey>) -> quinn::Endpoint {
    let identity = Identity::of(cluster, key, &[]);
    let transport = Arc::new(transport(PATIENCE));
    let socket = std::net::UdpSocket::bind(loopback()).unwrap();
    let server = identity.server_config(Arc::clone(&transport));
    let runtime = Arc::new(TokioRuntime);
    let mut endpoint = quinn::Endpoint::new(EndpointConfig::default(), Some(server), socket, runtime).unwrap();
    endpoint.set_default_client_config(identity.client_config(transport));
    endpoint
}

/// A cluster in which one member has announced another endpoint than its own for streams, which treats connections like
/// this; a second member behaves, and a third one joins, which must get everything.
async fn joins_beside<F: Future<Output = ()> + Send>(hostile: impl Fn(Connection) -> F + Send + Sync + 'static) {
    let fake = endpoint("cahoots", None);
    let mut bad = config("bad", &[]);
    bad.bulk_advertise = Some(fake.local_addr().unwrap());
    let bad = Node::start(bad).await.unwrap();
    fill(&bad);
    let task = tokio::spawn(async move {
        while let Some(incoming) = fake.accept().await {
            hostile(incoming.await.expect("a member connects")).await;
        }
    });
    // The good one has the same keys because it wrote them all again: nobody can fetch from the bad one.
    let good = Node::start(config("good", &[&bad])).await.unwrap();
    let met = |members: &[crate::driver::Member]| members.len() == 2;
    within("the two to meet", good.members_when(met)).await;
    fill(&good);
    let joiner = Node::start(config("joiner", &[&bad, &good])).await.unwrap();
    has_all_keys(&joiner).await;
    counts(&good, "an answer", |it| it.bulk_answered > 0).await;
    task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_accepts_and_never_answers_holds_up_nobody() {
    joins_beside(|connection| async move {
        let mut streams = Vec::new();
        while let Ok(stream) = connection.accept_bi().await {
            streams.push(stream);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_closes_half_way_through_an_answer_holds_up_nobody() {
    joins_beside(|connection| async move {
        while let Ok((mut send, mut receive)) = connection.accept_bi().await {
            let _ = receive.read_to_end(1 << 20).await;
            send.write_all(&1000_u32.to_le_bytes()).await.unwrap();
            send.write_all(&[1; 500]).await.unwrap();
            connection.close(7_u32.into(), b"half way");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_answers_nonsense_or_claims_gigabytes_holds_up_nobody() {
    joins_beside(|connection| async move {
        let mut number = 0;
        while let Ok((mut send, mut receive)) = connection.accept_bi().await {
            let _ = receive.read_to_end(1 << 20).await;
            number += 1;
            let length = if number % 2 == 0 { u32::MAX } else { 100 };
            send.write_all(&length.to_le_bytes()).await.unwrap();
            send.write_all(&[1; 100]).await.unwrap();
            let _ = send.finish();
        }
    })
    .await;
}

/// It never stands still for long, and claims all the memory there is for answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_answers_a_byte_at_a_time_is_given_up() {
    let all = config("", &[]).bulk_bytes_max;
    is_given_up_at(all.try_into().unwrap(), &[1]).await;
}

/// It claims the one place for a long answer, and moves as fast as would do for another.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_claims_gigabytes_and_trickles_is_given_up() {
    is_given_up_at(u32::MAX, &[1; super::STRIDE_BYTES]).await;
}

/// A peer whose answers are said to be of `length`, and come so much at a time, three times in the patience.
async fn is_given_up_at(length: u32, part: &'static [u8]) {
    let fake = endpoint("cahoots", None);
    let mut bad = config("bad", &[]);
    bad.bulk_advertise = Some(fake.local_addr().unwrap());
    let bad = Node::start(bad).await.unwrap();
    fill(&bad);
    tokio::spawn(async move {
        let connection = fake.accept().await.unwrap().await.expect("a member connects");
        while let Ok((mut send, _receive)) = connection.accept_bi().await {
            tokio::spawn(async move {
                let mut alive = send.write_all(&length.to_le_bytes()).await.is_ok();
                while alive {
                    tokio::time::sleep(PATIENCE / 3).await;
                    alive = send.write_all(part).await.is_ok();
                }
            });
        }
    });
    let joiner = Node::start(config("joiner", &[&bad])).await.unwrap();
    counts(&joiner, "the end of patience", |it| it.bulk_failed > 0).await;
}

/// The peer answers as its engine does, and stops half way through one of two until the other is put off.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_long_answers_one_waits_until_the_other_is_here() {
    let fake = endpoint("cahoots", None);
    let mut full = config("full", &[]);
    full.bulk_advertise = Some(fake.local_addr().unwrap());
    full.replica.transfer_bytes = 1; // a bucket in each
    let full = Arc::new(Node::start(full).await.unwrap());
    fill(&full);
    let mut config = config("joiner", &[&full]);
    config.bulk_bytes_max = 10; // no answer is short
    config.bulk_patience = BOUND;
    let joiner = Arc::new(Node::start(config).await.unwrap());
    let (engine, asker) = (Arc::clone(&full), Arc::clone(&joiner));
    let task = tokio::spawn(async move {
        let connection = fake.accept().await.unwrap().await.expect("a member connects");
        let mut number = 0;
        while let Ok((mut send, mut receive)) = connection.accept_bi().await {
            let (engine, asker) = (Arc::clone(&engine), Arc::clone(&asker));
            number += 1; // the first one is by itself: all buckets are asked for
            tokio::spawn(async move {
                let request = receive.read_to_end(1 << 20).await.unwrap();
                let answer = engine.with(|replica, now| replica.serve(now, asker.id(), &request[16..])).unwrap();
                let (half, rest) = answer.split_at(answer.len() / 2);
                let _ = send.write_all(&u32::try_from(answer.len()).unwrap().to_le_bytes()).await;
                let _ = send.write_all(half).await;
                while (2..4).contains(&number) && asker.counters().bulk_long_deferred == 0 {
                    tokio::task::yield_now().await;
                }
                let _ = send.write_all(rest).await; // the other one has been stopped
                let _ = send.finish();
            });
        }
    });
    has_all_keys(&joiner).await;
    assert!(joiner.counters().bulk_long_deferred > 0);
    task.abort();
}

/// Who asks in the tests that look at single answers.
const ASKER: crate::ReplicaId = crate::ReplicaId::new(9);

/// A node with a bucket of more than the buffers of both sides take in, and a connection to it.
async fn with_a_large_bucket(config: NodeConfig) -> (Node, quinn::Endpoint, Connection) {
    let node = Node::start(config).await.unwrap();
    node.with(|replica, now| {
        replica.write(now, 0, |w| w.set(b"large", &vec![1; 8 << 20])).expect("within the limits");
        replica.peer_up(now, ASKER, loopback(), crate::Zone::default());
    });
    let client = endpoint("cahoots", None);
    let connection = client.connect(node.bulk_addr(), SERVER_NAME).unwrap().await.unwrap();
    (node, client, connection)
}

/// Asks for the buckets from `first` on, whole.
async fn ask_from(connection: &Connection, node: &Node, first: u16) -> quinn::RecvStream {
    let fingerprints = crate::wire::Fingerprints(vec![1; crate::store::BUCKETS - usize::from(first)]);
    let request = crate::wire::Request::Buckets { first, fingerprints, whole: true };
    let (mut send, receive) = connection.open_bi().await.unwrap();
    let head = [ASKER.get().to_be_bytes(), node.id().get().to_be_bytes()].concat();
    send.write_all(&[head, request.encode()].concat()).await.unwrap();
    send.finish().unwrap();
    receive
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_bucket_is_put_off_while_another_is_given_out_and_those_before_it_are_not() {
    let mut config = config("node", &[]);
    config.bulk_bytes_max = 1 << 20;
    let (node, _client, connection) = with_a_large_bucket(config).await;
    let ask = async |first: u16| ask_from(&connection, &node, first).await;
    let before = within("an answer", ask(0).await.read_to_end(1 << 20)).await.unwrap();
    let Ok(Answer::Buckets { next, .. }) = Answer::decode(&before[4..]) else { panic!("those before it") };
    let mut long = ask(next).await;
    let mut length = [0; 4];
    within("its beginning", long.read_exact(&mut length)).await.unwrap();
    assert!(u32::from_le_bytes(length) > 8 << 20);
    let none = within("an answer", ask(next).await.read_to_end(1 << 20)).await.unwrap();
    assert!(matches!(Answer::decode(&none[4..]), Ok(Answer::Busy { .. })));
    let again = within("an answer", ask(0).await.read_to_end(1 << 20)).await.unwrap();
    assert_eq!(again, before);
    drop(long); // its place is free once this side has heard that nobody takes it
    let again = async { while ask(next).await.read_to_end(1 << 20).await.is_ok() {} };
    within("the long one", again).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_takes_an_answer_a_few_bytes_at_a_time_is_given_up() {
    let (node, _client, connection) = with_a_large_bucket(config("node", &[])).await;
    let mut receive = ask_from(&connection, &node, 0).await;
    let given_up = async {
        let mut bytes = [0; 10];
        while node.counters().bulk_broken == 0 {
            let _ = receive.read(&mut bytes).await;
            tokio::time::sleep(PATIENCE / 3).await;
        }
    };
    within("the end of patience", given_up).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_another_key_gets_nothing() {
    let mut keyed = config("keyed", &[]);
    keyed.replica.key = Some(ClusterKey::new([7; 32]));
    let keyed = Node::start(keyed).await.unwrap();
    fill(&keyed);
    for (cluster, key) in [("cahoots", Some(ClusterKey::new([8; 32]))), ("cahoots", None), ("other", None)] {
        let stranger = endpoint(cluster, key.as_ref());
        // The server's key is looked at first: a stranger that wants the real one notices by itself.
        let connected = stranger.connect(keyed.bulk_addr(), SERVER_NAME).unwrap();
        assert!(within("the refusal", connected).await.is_err());
    }
    // One that would take any server still has no key to show that the server takes.
    let mut stranger = endpoint("cahoots", Some(&ClusterKey::new([8; 32])));
    stranger.set_default_client_config(super::identity::credulous_client());
    let error = match within("an end", stranger.connect(keyed.bulk_addr(), SERVER_NAME).unwrap()).await {
        Ok(connection) => within("the refusal", connection.closed()).await,
        Err(error) => error,
    };
    assert!(matches!(error, quinn::ConnectionError::ConnectionClosed(_)), "{error}");
    counts(&keyed, "the refusals", |it| it.bulk_connections_refused >= 4).await;
    let counters = keyed.counters();
    assert_eq!((counters.bulk_connections_accepted, counters.bulk_answered), (0, 0));
    assert_eq!(counters.bulk_connections_refused, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_malformed_of_strangers_or_for_another_replica_are_refused_and_counted() {
    let node = Node::start(config("node", &[])).await.unwrap();
    let client = endpoint("cahoots", None);
    let connection = client.connect(node.bulk_addr(), SERVER_NAME).unwrap().await.unwrap();
    let me = node.id().get().to_be_bytes();
    let stranger = [[9; 8], me, [0; 8]].concat();
    let elsewhere = [[9; 8], [1; 8], [0; 8]].concat();
    let long = vec![0; 1 << 20];
    for request in [&b""[..], b"short", &stranger, &elsewhere, &long] {
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        let _ = send.write_all(request).await; // the long one may be stopped half way
        let _ = send.finish();
        let answer = within("the refusal", receive.read_to_end(1 << 20)).await;
        assert!(matches!(answer, Err(quinn::ReadToEndError::Read(quinn::ReadError::Reset(_)))), "{answer:?}");
    }
    assert_eq!(node.counters().bulk_refused, 5);
    // A request that does not come, or not to its end, is given up.
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    send.write_all(b"half").await.unwrap();
    let answer = within("the end of patience", receive.read_to_end(1)).await;
    assert!(answer.is_err(), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_frees_both_ports() {
    let node = Node::start(config("node", &[])).await.unwrap();
    let client = endpoint("cahoots", None);
    let connection = client.connect(node.bulk_addr(), SERVER_NAME).unwrap().await.unwrap();
    let address = node.bulk_addr();
    // Before its side of the handshake is done, too, it can only say that there was an error.
    counts(&node, "the connection", |it| it.bulk_connections_accepted == 1).await;
    node.shutdown(Duration::from_secs(1)).await;
    std::net::UdpSocket::bind(address).expect("the port is free when shutdown returns");
    let error = within("the end", connection.closed()).await;
    assert!(matches!(error, quinn::ConnectionError::ApplicationClosed(_)), "peers are told: {error:?}");
}

/// Such a connection is drained for three seconds: nothing is known of how far away its other end is.
#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_frees_the_port_also_while_somebody_is_half_way_through_a_handshake() {
    let node = Node::start(config("node", &[])).await.unwrap();
    let (address, client) = (node.bulk_addr(), endpoint("cahoots", None));
    let relay = tokio::net::UdpSocket::bind(loopback()).await.unwrap();
    let _connecting = client.connect(relay.local_addr().unwrap(), SERVER_NAME).unwrap();
    let mut hello = [0; 2_000];
    let (length, _) = within("the first datagram", relay.recv_from(&mut hello)).await.unwrap();
    relay.send_to(&hello[..length], address).await.unwrap();
    within("an answer, which goes no further", relay.recv_from(&mut hello)).await.unwrap();
    within("the end", node.shutdown(Duration::from_secs(1))).await;
    std::net::UdpSocket::bind(address).expect("the port is free when shutdown returns");
}
