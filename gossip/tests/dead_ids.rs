//! Replicas that came, wrote once and are gone for good: each leaves one entry of a version vector, and on the wire
//! nothing.

use std::net::SocketAddr;

use cahoots_gossip::engine::{Now, Replica, ReplicaConfig};
use cahoots_gossip::{ReplicaId, Zone};

const WALL: u64 = 1_700_000_000_000;

/// Two that stay, and however many others for a moment.
struct World {
    now: Now,
    /// The two.
    stay: Vec<Replica>,
    /// Whether what one of the two sends reaches the other.
    open: bool,
    /// Bytes and datagrams between the two.
    sent: (usize, usize),
    born: u64,
}

fn addr(index: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 1000 + u16::try_from(index).expect("few")))
}

fn id(number: u64) -> ReplicaId {
    ReplicaId::new(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1) // spread over all ids, as random ones are
}

impl World {
    fn new() -> Self {
        let now = Now { mono: 0, wall: WALL };
        let mut config = ReplicaConfig::default();
        config.log_bytes_max = 5_000;
        let mut stay: Vec<_> = (0..2).map(|index| Replica::new(config.clone(), id(index), now)).collect();
        stay[0].peer_up(now, id(1), addr(1), Zone::default());
        stay[1].peer_up(now, id(0), addr(0), Zone::default());
        Self { now, stay, open: true, sent: (0, 0), born: 2 }
    }

    /// A replica starts, writes once, tells those of the two in `told`, and is never seen again.
    fn life(&mut self, told: &[usize]) {
        let (number, place) = (self.born, addr(2));
        self.born += 1;
        let mut replica = Replica::new(ReplicaConfig::default(), id(number), self.now);
        for &index in told {
            replica.peer_up(self.now, id(index as u64), addr(index), Zone::default());
            self.stay[index].peer_up(self.now, id(number), place, Zone::default());
        }
        replica.write(self.now, 0, |w| w.set(format!("key{}", number % 50).as_bytes(), b"v")).expect("admitted");
        while let Some(transmit) = replica.poll_transmit(self.now) {
            let index = usize::from(transmit.to.port() - 1000);
            for datagram in transmit.datagrams() {
                self.stay[index].handle_datagram(self.now, place, datagram).expect("accepted");
            }
        }
        self.run(1_000);
        for &index in told {
            self.stay[index].peer_gone(id(number));
        }
    }

    fn settle(&mut self) {
        loop {
            let mut sent = Vec::new();
            for (from, replica) in self.stay.iter_mut().enumerate() {
                while let Some(transmit) = replica.poll_transmit(self.now) {
                    sent.push((from, transmit));
                }
            }
            if sent.is_empty() && !self.carry_asks() {
                return;
            }
            for (from, transmit) in sent {
                let to = usize::from(transmit.to.port() - 1000);
                for datagram in transmit.datagrams().filter(|_| to < 2 && self.open) {
                    self.sent = (self.sent.0 + datagram.len(), self.sent.1 + 1);
                    self.stay[to].handle_datagram(self.now, addr(from), datagram).expect("accepted");
                }
            }
        }
    }

    /// Carries requests for buckets, whose bytes do not count: they are what differs. Says whether there were any.
    fn carry_asks(&mut self) -> bool {
        let mut carried = false;
        for from in 0..2 {
            while let Some(ask) = self.stay[from].poll_ask() {
                let asker = self.stay[from].id();
                let other = &mut self.stay[1 - from];
                let there = self.open && other.id() == ask.peer;
                let answer = if there { other.serve(self.now, asker, &ask.body).ok() } else { None };
                self.stay[from].handle_answer(self.now, ask.number, answer.as_deref());
                carried = true;
            }
        }
        carried
    }

    fn run(&mut self, micros: u64) {
        let end = self.now.mono + micros;
        self.settle();
        while self.now.mono < end {
            let due = self.stay.iter().map(Replica::poll_timeout).min().expect("two");
            self.now.mono = due.clamp(self.now.mono + 1, end);
            self.now.wall = WALL + self.now.mono / 1000;
            for replica in &mut self.stay {
                if replica.poll_timeout() <= self.now.mono {
                    replica.handle_timeout(self.now);
                }
            }
            self.settle();
        }
    }

    /// Bytes and datagrams of so many seconds.
    fn cost(&mut self, seconds: u64) -> (usize, usize) {
        let before = self.sent;
        self.run(seconds * 1_000_000);
        (self.sent.0 - before.0, self.sent.1 - before.1)
    }

    fn agree(&mut self) -> bool {
        let [a, b] = &mut self.stay[..] else { unreachable!("two") };
        let (a, b) = (a.status(), b.status());
        a.version_vector == b.version_vector && a.fingerprint == b.fingerprint
    }

    /// Bytes of a datagram at rest, and what it costs to find one new event, and one that is old news to others.
    fn figures(&mut self) -> [usize; 3] {
        self.run(10_000_000);
        assert!(self.agree());
        let (bytes, datagrams) = self.cost(100);
        assert!((190..=210).contains(&datagrams), "{datagrams} digests of two in 100 s");
        self.life(&[0]); // tells only one of the two
        let (new, _) = self.cost(10);
        assert!(self.agree());
        self.open = false;
        self.life(&[0]);
        (0..100).for_each(|_| self.life(&[0, 1])); // so that what differs is not among the newest
        self.open = true;
        let (old, _) = self.cost(10);
        assert!(self.agree());
        [bytes / datagrams, new, old]
    }
}

#[test]
fn ten_thousand_restarts_cost_an_entry_each_in_memory_and_nothing_on_the_wire() {
    let mut world = World::new();
    (0..200).for_each(|_| world.life(&[0, 1]));
    let (few, tracked) = (world.figures(), world.stay[0].status().tracked);
    while world.born < 10_000 {
        world.life(&[0, 1]);
    }
    let many = world.figures();
    assert!(many[0].abs_diff(few[0]) <= 1, "a digest has {} bytes among 10,000 ids, {} among 200", many[0], few[0]);
    // In full, a vector of 10,000 entries is 130,000 bytes. How much less this is depends on who speaks first.
    for ids in [few, many] {
        assert!(ids[1] <= 5_000, "one new event: {} bytes", ids[1]);
        assert!(ids[2] <= 8_000, "one old event: {} bytes", ids[2]);
    }
    println!("a digest, one new event, one old event: {few:?} among 200 ids, {many:?} among 10,000");
    for replica in &mut world.stay {
        let status = replica.status();
        assert!(status.counters.ranges_sent > 0);
        assert_eq!(status.version_vector.len() as u64, world.born - 2, "one for each life that wrote");
        assert!(status.tracked <= tracked + 5, "{} entries in tables, {tracked} before", status.tracked);
        assert_eq!(status.peers.len(), 1);
    }
    assert_eq!(size_of::<(ReplicaId, u64)>(), 16);
}
