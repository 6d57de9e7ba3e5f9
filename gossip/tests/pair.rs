//! Two replicas on a perfect network in virtual time: each mechanism of the engine by itself.

use std::net::SocketAddr;

use cahoots_gossip::engine::{Counters, Now, Replica, ReplicaConfig};
use cahoots_gossip::store::{Class, Writer};
use cahoots_gossip::{ReplicaId, Zone};

const WALL: u64 = 1_700_000_000_000;

struct Pair {
    now: Now,
    replicas: Vec<Replica>,
    /// Whether datagrams from one to the other arrive.
    open: [[bool; 2]; 2],
}

fn addr(index: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 1000 + u16::try_from(index).expect("two")))
}

fn id(index: usize) -> ReplicaId {
    ReplicaId::new(index as u64 + 1)
}

impl Pair {
    fn new(config: &ReplicaConfig) -> Self {
        let now = Now { mono: 0, wall: WALL };
        let mut replicas: Vec<Replica> = (0..2).map(|index| Replica::new(config.clone(), id(index), now)).collect();
        replicas[0].peer_up(now, id(1), addr(1), Zone::default());
        replicas[1].peer_up(now, id(0), addr(0), Zone::default());
        Self { now, replicas, open: [[true; 2]; 2] }
    }

    /// Delivers until nothing is under way.
    fn settle(&mut self) {
        loop {
            let mut sent = Vec::new();
            for (from, replica) in self.replicas.iter_mut().enumerate() {
                while let Some(transmit) = replica.poll_transmit(self.now) {
                    assert!(transmit.datagrams().all(|datagram| datagram.len() <= 1200));
                    sent.push((from, transmit));
                }
            }
            let asks: Vec<_> = (0..2).filter_map(|from| Some((from, self.replicas[from].poll_ask()?))).collect();
            if sent.is_empty() && asks.is_empty() {
                return;
            }
            for (from, ask) in asks {
                let to = 1 - from;
                assert_eq!(ask.peer, id(to));
                let open = self.open[0][1] && self.open[1][0];
                let answer = open.then(|| self.replicas[to].serve(self.now, id(from), &ask.body).expect("a peer asks"));
                self.replicas[from].handle_answer(self.now, ask.number, answer.as_deref());
            }
            for (from, transmit) in sent {
                let to = usize::from(transmit.to.port() - 1000);
                for datagram in transmit.datagrams().filter(|_| self.open[from][to]) {
                    self.replicas[to].handle_datagram(self.now, addr(from), datagram).expect("accepted");
                }
            }
        }
    }

    fn run(&mut self, micros: u64) {
        let end = self.now.mono + micros;
        self.settle();
        while self.now.mono < end {
            let due = self.replicas.iter().map(Replica::poll_timeout).min().expect("two");
            self.now.mono = due.clamp(self.now.mono + 1, end);
            self.now.wall = WALL + self.now.mono / 1000;
            for replica in &mut self.replicas {
                replica.handle_timeout(self.now);
            }
            self.settle();
        }
    }

    fn write<R>(&mut self, at: usize, operations: impl FnOnce(&mut Writer<'_>) -> R) -> R {
        self.replicas[at].write(self.now, 0, operations)
    }

    fn set(&mut self, at: usize, key: &str, value: &[u8]) {
        self.write(at, |w| w.set(key.as_bytes(), value)).expect("admitted");
    }

    fn add(&mut self, at: usize, key: &str, delta: i64) {
        self.write(at, |w| w.add(key.as_bytes(), delta)).expect("admitted");
    }

    fn text(&self, at: usize, key: &str) -> Option<String> {
        let view = self.replicas[at].store().at(0).view(key.as_bytes())?;
        Some(String::from_utf8(view.text()?.into_owned()).expect("text"))
    }

    fn counters(&mut self, at: usize) -> Counters {
        self.replicas[at].status().counters
    }

    fn assert_equal(&mut self) {
        let [a, b] = &mut self.replicas[..] else { unreachable!("two") };
        let (a, b) = (a.status(), b.status());
        assert_eq!(a.version_vector, b.version_vector);
        assert_eq!(a.fingerprint, b.fingerprint);
        assert!(self.replicas.iter_mut().all(Replica::fingerprints_are_exact));
    }
}

#[test]
fn a_write_reaches_the_peer_in_one_datagram_and_is_acknowledged() {
    let mut pair = Pair::new(&ReplicaConfig::default());
    pair.run(10_000);
    let sent = pair.counters(0).datagrams_sent;
    pair.set(0, "k", b"v");
    assert_eq!(pair.replicas[0].acked_by(1), 0);
    pair.settle();
    assert_eq!(pair.text(1, "k").as_deref(), Some("v"));
    pair.run(5_000);
    assert_eq!(pair.counters(0).datagrams_sent, sent + 1);
    assert_eq!(pair.replicas[0].acked_by(1), 1);
    let now = pair.now;
    pair.replicas[0].begin_hand_over(now);
    assert!(!pair.replicas[0].is_handed_over(1), "it has not said that it stays");
    pair.settle();
    assert!(pair.replicas[0].is_handed_over(1));
    pair.assert_equal();
}

#[test]
fn a_million_increments_of_one_key_in_a_window_are_one_event() {
    let mut pair = Pair::new(&ReplicaConfig::default());
    for _ in 0..1_000_000 {
        pair.add(0, "hits", 1);
    }
    pair.run(10_000);
    assert_eq!(pair.text(1, "hits").as_deref(), Some("1000000"));
    assert_eq!(pair.counters(0).events_minted, 1);
}

#[test]
fn a_value_larger_than_a_datagram_arrives_whole() {
    let mut pair = Pair::new(&ReplicaConfig::default());
    let value: Vec<u8> = (0..1_000_000_u32).map(|it| u8::try_from(it % 26).expect("small") + b'a').collect();
    pair.set(0, "large", &value);
    pair.set(0, "after", b"1");
    pair.run(1_000_000);
    assert_eq!(pair.text(1, "large").map(String::into_bytes), Some(value));
    assert_eq!(pair.text(1, "after").as_deref(), Some("1"));
    assert_eq!(pair.counters(1).events_assembled, 1);
    pair.assert_equal();
}

/// The place in a large event that is being sent says nothing of the event that follows it.
#[test]
fn a_large_event_that_the_log_drops_half_sent_does_not_cut_the_next_one() {
    let mut config = ReplicaConfig::default();
    config.log_bytes_max = 10_000;
    config.send_bytes_per_second_peer = Some(100_000);
    let mut pair = Pair::new(&config);
    pair.settle();
    let mut write = |text: &str| {
        pair.set(0, "large", text.as_bytes());
        pair.now.mono += 1_000_000;
        pair.replicas[0].handle_timeout(pair.now);
        pair.replicas[0].poll_transmit(pair.now).map_or(0, |transmit| transmit.bytes.len())
    };
    let sent = write(&"a".repeat(8_000));
    assert!((2_000..5_000).contains(&sent), "{sent} bytes have left, and the rest waits for the rate");
    assert!(write(&"b".repeat(8_000)) < 1_000, "the peer lags below the log, which does not hold the event any more");
    assert!(write(&"c".repeat(1_500)) > 1_000);
    pair.run(30_000_000);
    assert_eq!(pair.text(1, "large"), Some("c".repeat(1_500)));
    pair.assert_equal();
}

#[test]
fn a_lost_tail_is_noticed_and_asked_for() {
    let mut pair = Pair::new(&ReplicaConfig::default());
    pair.run(10_000);
    pair.open[0][1] = false;
    pair.set(0, "k", b"v");
    pair.run(1_000);
    pair.open[0][1] = true;
    pair.run(150_000);
    assert_eq!(pair.text(1, "k").as_deref(), Some("v"));
    assert!(pair.counters(0).tails_probed > 0);
    assert!(pair.counters(1).gaps_asked > 0);
}

#[test]
fn a_peer_below_the_floor_of_the_log_catches_up_by_buckets_and_deletes_stay_deleted() {
    let mut config = ReplicaConfig::default();
    config.log_bytes_max = 4096;
    let mut pair = Pair::new(&config);
    pair.set(0, "gone", b"1");
    pair.write(0, |w| w.insert(b"set", Class::Set, b"m", b"")).expect("admitted");
    pair.run(10_000);
    pair.open = [[false; 2]; 2];
    pair.write(0, |w| w.delete(b"gone")).expect("admitted");
    pair.add(0, "hits", 5);
    pair.add(1, "hits", 2);
    for at in 0..2000 {
        pair.set(0, &format!("key{at}"), format!("value{at}").as_bytes());
        pair.run(300);
    }
    pair.open = [[true; 2]; 2];
    pair.run(10_000_000);
    assert!(pair.counters(1).buckets_joined > 0);
    assert_eq!(pair.text(1, "gone"), None);
    assert_eq!(pair.text(1, "hits").as_deref(), Some("7"));
    assert_eq!(pair.text(0, "hits").as_deref(), Some("7"));
    assert_eq!(pair.text(1, "key1999").as_deref(), Some("value1999"));
    pair.assert_equal();
    assert_eq!(pair.replicas[0].store().len(), 2002);
}

#[test]
fn a_few_changes_among_many_keys_cost_what_they_are_and_not_the_buckets_they_are_in() {
    let mut config = ReplicaConfig::default();
    config.log_bytes_max = 4096;
    let mut pair = Pair::new(&config);
    for at in 0..40_000 {
        pair.set(0, &format!("key{at}"), &[b'v'; 100]);
        pair.now.mono += 2;
    }
    pair.run(20_000_000);
    pair.assert_equal();
    pair.open = [[false; 2]; 2];
    let before = pair.counters(1);
    for at in 0..20 {
        pair.set(0, &format!("key{}", at * 1_000), b"new");
        pair.write(0, |w| w.delete(format!("key{}", at * 1_000 + 1).as_bytes())).expect("admitted");
        pair.set(0, &format!("new{at}"), b"new");
        for filler in 0..20 {
            pair.set(0, "filler", format!("{filler}").as_bytes());
            pair.run(300);
        }
    }
    pair.open = [[true; 2]; 2];
    pair.run(10_000_000);
    pair.assert_equal();
    assert_eq!(pair.text(1, "key5000").as_deref(), Some("new"));
    assert_eq!(pair.text(1, "key5001"), None);
    let after = pair.counters(1);
    let refined = after.buckets_refined - before.buckets_refined;
    assert!((40..=61).contains(&refined), "{refined}");
    assert_eq!(after.buckets_joined - before.buckets_joined, refined);
    let bytes = after.bytes_fetched - before.bytes_fetched;
    assert!(bytes < 12 * 1_024 + 61 * 120, "{bytes}");
}

#[test]
fn a_reset_takes_exactly_what_it_observed_and_its_baselines_are_collected() {
    let mut pair = Pair::new(&ReplicaConfig::default());
    pair.add(1, "k", 10);
    pair.run(10_000);
    pair.write(0, |w| w.delete(b"k")).expect("admitted");
    pair.add(1, "k", 1);
    pair.run(10_000);
    assert_eq!((pair.text(0, "k").as_deref(), pair.text(1, "k").as_deref()), (Some("1"), Some("1")));
    pair.assert_equal();
    assert_eq!(pair.replicas[0].store().baselines(), 1);
    pair.write(1, |w| w.delete(b"k")).expect("admitted");
    pair.run(5_000_000);
    assert_eq!(pair.replicas[0].store().baselines(), 0);
    assert_eq!(pair.replicas[1].store().baselines(), 0);
}

#[test]
fn clearing_everything_spares_what_was_written_concurrently() {
    let mut pair = Pair::new(&ReplicaConfig::default());
    for at in 0..300 {
        pair.set(0, &format!("key{at}"), b"v");
        pair.add(1, &format!("count{at}"), 3);
    }
    pair.run(1_000_000);
    assert_eq!(pair.replicas[0].store().len(), 600);
    assert_eq!(pair.write(0, |w| w.clear()), Ok(600));
    pair.set(1, "key7", b"new");
    pair.add(1, "count7", 1);
    pair.run(1_000_000);
    assert_eq!(pair.replicas[0].store().len(), 2);
    assert_eq!(pair.text(0, "key7").as_deref(), Some("new"));
    assert_eq!(pair.text(0, "count7").as_deref(), Some("1"));
    pair.assert_equal();
}

#[test]
fn an_idle_pair_exchanges_only_digests() {
    let mut pair = Pair::new(&ReplicaConfig::default());
    for at in 0..1000 {
        pair.set(0, &format!("key{at}"), b"v");
    }
    pair.run(5_000_000);
    let before = pair.counters(0);
    pair.run(10_000_000);
    let after = pair.counters(0);
    assert_eq!(after.datagrams_sent - before.datagrams_sent, after.digests_sent - before.digests_sent);
    assert!((9..=11).contains(&(after.digests_sent - before.digests_sent)));
    assert!(pair.replicas.iter_mut().all(|it| it.status().peers[0].agrees == Some(true)));
}

#[test]
fn two_types_made_apart_show_as_one_everywhere_and_are_counted() {
    let mut pair = Pair::new(&ReplicaConfig::default());
    pair.set(0, "k", b"text");
    pair.now.wall += 1;
    pair.write(1, |w| w.insert(b"k", Class::Set, b"member", b"")).expect("admitted");
    pair.run(10_000);
    for replica in &pair.replicas {
        let view = replica.store().at(0).view(b"k").expect("there");
        assert_eq!((view.class(), view.len(), view.clashes()), (Class::Set, 1, true));
        assert_eq!(replica.store().clashes(), 1);
    }
    pair.write(0, |w| w.remove(b"k", Class::Set, b"member")).expect("admitted");
    pair.run(10_000);
    assert_eq!((pair.text(0, "k").as_deref(), pair.text(1, "k").as_deref()), (Some("text"), Some("text")));
    assert!(pair.replicas.iter().all(|it| it.store().clashes() == 0));
    pair.assert_equal();
}

#[test]
fn a_clock_far_ahead_is_refused_at_home_and_what_it_stamped_is_applied_elsewhere() {
    let mut pair = Pair::new(&ReplicaConfig::default());
    pair.run(3_000_000);
    let begin = pair.now;
    let ahead = |ms: u64| Now { mono: begin.mono + ms * 1_000, wall: begin.wall + 7_200_000 + ms };
    let doubted = pair.replicas[0].write(ahead(0), 0, |w| w.set(b"k", b"doubted"));
    assert!(matches!(doubted, Err(cahoots_gossip::store::WriteError::ClockAhead { .. })), "{doubted:?}");
    // Nobody says anything of its clock for a while.
    (0..=6_000).step_by(500).for_each(|ms| pair.replicas[0].handle_timeout(ahead(ms)));
    let (ahead, now) = (ahead(6_000), Now { mono: begin.mono + 6_000_000, wall: begin.wall + 6_000 });
    pair.now = now;
    pair.replicas[0].write(ahead, 0, |w| w.set(b"k", b"from the future")).expect("nobody has said anything");
    pair.settle();
    assert_eq!(pair.text(1, "k").as_deref(), Some("from the future"));
    // Its clock has jumped: it asks the peer for the time, and stops writing.
    pair.replicas[0].handle_timeout(ahead);
    for (from, to, now) in [(0, 1, pair.now), (1, 0, ahead)] {
        while let Some(transmit) = pair.replicas[from].poll_transmit(pair.now) {
            for datagram in transmit.datagrams() {
                pair.replicas[to].handle_datagram(now, addr(from), datagram).expect("accepted");
            }
        }
    }
    let refused = pair.replicas[0].write(ahead, 0, |w| w.set(b"k", b"again"));
    assert!(matches!(refused, Err(cahoots_gossip::store::WriteError::ClockAhead { .. })), "{refused:?}");
    // What was stamped in the future does not outlive what is written later.
    pair.set(1, "k", b"later");
    pair.settle();
    assert_eq!(pair.text(0, "k").as_deref(), Some("later"));
}

#[test]
fn a_clock_beyond_all_sense_stamps_nothing() {
    let mut pair = Pair::new(&ReplicaConfig::default());
    let now = Now { mono: pair.now.mono, wall: cahoots_gossip::Hlc::SANE_MS_MAX };
    let refused = pair.replicas[0].write(now, 0, |w| w.set(b"k", b"v"));
    assert_eq!(refused, Err(cahoots_gossip::store::WriteError::ClockInsane));
}

#[test]
fn a_rate_bounds_what_is_sent_and_acknowledgements_do_not_wait_for_it() {
    let rates: [fn(&mut ReplicaConfig); 2] = [
        |config| config.send_bytes_per_second_peer = Some(50_000),
        |config| config.send_bytes_per_second = Some(50_000),
    ];
    for set_rate in rates {
        let mut config = ReplicaConfig::default();
        set_rate(&mut config);
        let mut pair = Pair::new(&config);
        pair.run(10_000);
        let before = pair.counters(0).bytes_sent;
        for at in 0..200 {
            pair.set(0, &format!("key{at}"), &[b'v'; 500]);
        }
        pair.settle();
        let now = pair.now;
        assert!(pair.replicas[0].poll_transmit(now).is_none());
        let due = pair.replicas[0].poll_timeout();
        assert!((now.mono + 1..=now.mono + 30_000).contains(&due), "it says when it may send again: {due}");
        pair.run(500_000);
        pair.add(1, "hits", 1);
        pair.run(2_000);
        assert_eq!(pair.replicas[1].acked_by(1), 1, "though much waits to be sent");
        pair.run(498_000);
        let sent = pair.counters(0).bytes_sent - before;
        // A second, the burst of 20 ms, and one datagram that empties the bucket.
        assert!((45_000..=50_000 + 1_000 + 1_200).contains(&sent), "{sent} bytes in a second");
        pair.run(3_000_000);
        pair.assert_equal();
        assert_eq!(pair.replicas[1].store().len(), 201);
    }
}

#[test]
fn a_peer_whose_backlog_just_fits_the_log_gets_events_and_one_beyond_it_catches_up_by_itself() {
    let backlog = |log_bytes_max: usize| {
        let mut config = ReplicaConfig::default();
        config.log_bytes_max = log_bytes_max;
        let mut pair = Pair::new(&config);
        pair.run(10_000);
        pair.open = [[false; 2]; 2];
        for at in 0..20 {
            pair.set(0, &format!("key{at}"), b"v");
            pair.run(300);
        }
        let bytes = pair.replicas[0].status().log_bytes;
        pair.open = [[true; 2]; 2];
        pair.run(10_000_000);
        pair.assert_equal();
        (bytes, pair.counters(1).reconciliations)
    };
    let (all, _) = backlog(1 << 20);
    assert_eq!(backlog(all), (all, 0));
    let (less, reconciliations) = backlog(all - 1);
    assert!(less < all && reconciliations > 0);
}

/// Many small keys, each written over one that the other wrote: what is to be said of each is longer than it is.
#[test]
fn a_group_within_the_limit_arrives_however_much_longer_its_event_is() {
    let mut config = ReplicaConfig::default();
    config.limits.group_bytes_max = 1 << 20;
    let mut pair = Pair::new(&config);
    let key = |n: u32| n.to_be_bytes();
    for at in 0..2 {
        for half in 0..2 {
            pair.write(at, |w| {
                (0..130_000).for_each(|n| w.set(&key(n), if half == at { b"a" } else { b"b" }).expect("admitted"));
            });
            pair.run(500_000);
        }
    }
    pair.run(5_000_000);
    pair.assert_equal();
    pair.set(1, "after", b"it");
    pair.run(1_000_000);
    assert_eq!(pair.text(0, "after").as_deref(), Some("it"), "nothing is blocked by it");
}
