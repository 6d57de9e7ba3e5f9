//! A network that loses, repeats, delays, reorders and damages datagrams, each link in its own way.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;

use super::Random;

/// How one direction of one link behaves. The default is a perfect link of 0.1 ms.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Of 100 datagrams, how many vanish.
    pub loss: f64,
    /// Of 100 datagrams, how many arrive twice.
    pub duplication: f64,
    /// Of 100 datagrams, how many arrive damaged.
    pub corruption: f64,
    /// Shortest time under way, in microseconds.
    pub delay: u64,
    /// What may come on top, in microseconds: also how far datagrams overtake each other.
    pub jitter: u64,
    /// Bytes per second that streams share.
    pub bandwidth: u64,
    /// Of 100 streams, how many break before their answer is there.
    pub breaks: f64,
    /// Nothing gets through.
    pub cut: bool,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            loss: 0.0,
            duplication: 0.0,
            corruption: 0.0,
            delay: 100,
            jitter: 0,
            bandwidth: 1_000_000_000,
            breaks: 0.0,
            cut: false,
        }
    }
}

/// What the network did in a run.
#[derive(Clone, Copy, Default, Debug)]
pub struct Weather {
    /// Datagrams handed to the network.
    pub sent: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Lost to a cut link.
    pub cut: u64,
    /// Delivered a second time.
    pub duplicated: u64,
    /// Delivered damaged.
    pub corrupted: u64,
    /// Delivered after one that was sent later on the same link.
    pub overtaken: u64,
    /// Bytes of requests and answers on streams.
    pub stream_bytes: u64,
    /// Streams that brought no answer.
    pub streams_failed: u64,
}

/// A datagram under way.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Flight {
    pub(super) at: u64,
    tie: u64,
    pub(super) source: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) damaged: bool,
    pub(super) datagram: Vec<u8>,
}

/// All links between `n` hosts, and what is under way on them.
pub(super) struct Network {
    links: Vec<Vec<Link>>,
    newest: Vec<Vec<u64>>,
    /// When the last stream's bytes have left.
    streaming: Vec<Vec<u64>>,
    flying: BinaryHeap<Reverse<Flight>>,
    /// Instead of flying, datagrams wait here until the script delivers or loses them.
    held: Option<BTreeMap<(usize, usize), Vec<Flight>>>,
    random: Random,
    ties: u64,
    pub(super) weather: Weather,
}

impl Network {
    pub(super) fn new(hosts: usize, link: Link, random: Random) -> Self {
        Self {
            links: vec![vec![link; hosts]; hosts],
            newest: vec![vec![0; hosts]; hosts],
            streaming: vec![vec![0; hosts]; hosts],
            flying: BinaryHeap::new(),
            held: None,
            random,
            ties: 0,
            weather: Weather::default(),
        }
    }

    pub(super) fn link(&mut self, from: usize, to: usize) -> &mut Link {
        &mut self.links[from][to]
    }

    pub(super) fn is_cut(&self, from: usize, to: usize) -> bool {
        self.links[from][to].cut
    }

    /// Whether a stream over this link is one that breaks.
    pub(super) fn breaks_stream(&mut self, from: usize, to: usize) -> bool {
        self.random.percent(self.links[from][to].breaks)
    }

    /// How long so many bytes of a stream are under way: behind those of others, and sent again when lost.
    pub(super) fn stream_delay(&mut self, now: u64, from: usize, to: usize, bytes: usize) -> u64 {
        let link = self.links[from][to];
        self.weather.stream_bytes += bytes as u64;
        let begin = self.streaming[from][to].max(now);
        let end = begin + bytes as u64 * 1_000_000 / link.bandwidth;
        self.streaming[from][to] = end;
        let mut delay = link.delay + self.random.below(link.jitter + 1);
        while self.random.percent(link.loss) {
            delay += 3 * link.delay + link.jitter;
        }
        end - now + delay
    }

    /// When the next datagram arrives.
    pub(super) fn next_at(&self) -> Option<u64> {
        self.flying.peek().map(|Reverse(flight)| flight.at)
    }

    pub(super) fn pop(&mut self) -> Option<Flight> {
        self.flying.pop().map(|Reverse(flight)| flight)
    }

    /// From now on datagrams wait for the script, or (`false`) fly again; what still waits is lost.
    pub(super) fn hold(&mut self, hold: bool) {
        self.held = hold.then(BTreeMap::new);
    }

    /// What waits on this link, in the order it was sent.
    pub(super) fn take_held(&mut self, from: usize, to: usize) -> Vec<Flight> {
        self.held.as_mut().and_then(|held| held.remove(&(from, to))).unwrap_or_default()
    }

    pub(super) fn send(
        &mut self,
        now: u64,
        from: usize,
        to: usize,
        source: SocketAddr,
        target: SocketAddr,
        datagram: &[u8],
    ) {
        let link = self.links[from][to];
        self.weather.sent += 1;
        self.weather.bytes += datagram.len() as u64;
        if link.cut {
            self.weather.cut += 1;
            return;
        }
        if self.random.percent(link.loss) {
            self.weather.lost += 1;
            return;
        }
        self.ties += 1;
        if let Some(held) = &mut self.held {
            let datagram = datagram.to_vec();
            let flight = Flight { at: now, tie: self.ties, source, to: target, damaged: false, datagram };
            held.entry((from, to)).or_default().push(flight);
            return;
        }
        let copies = if self.random.percent(link.duplication) { 2 } else { 1 };
        self.weather.duplicated += copies - 1;
        for _ in 0..copies {
            let at = now + link.delay + self.random.below(link.jitter + 1);
            if at < self.newest[from][to] {
                self.weather.overtaken += 1;
            }
            self.newest[from][to] = self.newest[from][to].max(at);
            let mut datagram = datagram.to_vec();
            let damaged = self.random.percent(link.corruption);
            if damaged {
                self.weather.corrupted += 1;
                damage(&mut datagram, &mut self.random);
            }
            self.ties += 1;
            self.flying.push(Reverse(Flight { at, tie: self.ties, source, to: target, damaged, datagram }));
        }
    }
}

/// Changes a datagram in one of the ways networks and memories do: bits flipped, cut short, grown.
pub(super) fn damage(datagram: &mut Vec<u8>, random: &mut Random) {
    let sound = datagram.clone();
    match random.below(4) {
        0 if !datagram.is_empty() => datagram.truncate(random.index(datagram.len())),
        1 => datagram.extend((0..random.between(1, 9)).map(|_| random.draw().to_le_bytes()[0])),
        _ if datagram.is_empty() => datagram.push(0),
        _ => {
            for _ in 0..random.between(1, 4) {
                let at = random.index(datagram.len());
                let bit = 1_u8 << random.below(8);
                if random.percent(50.0) {
                    datagram[at] ^= bit;
                } else {
                    datagram[at] = datagram[at].wrapping_add(bit);
                }
            }
        }
    }
    if *datagram == sound {
        datagram.push(0); // two changes had undone each other
    }
}
