//! The addresses of seeds, kept fresh.
//!
//! Chitchat resolves names once a minute, holds up the start of a node until the first look-up has answered, and
//! forgets a seed whose look-up fails, which is what happens in just the outage that seeds are there to heal. So
//! names are resolved here, in the background: again and again, quickly while this node is alone, and what a
//! name once meant is kept until it means something else.
//!
//! And it is known at which of them there is a peer: a joiner does not take itself for one of the first while a seed that was
//! configured is none. That it was heard is not enough: what it has it tells as a peer. Members known from an earlier run are
//! called like seeds, but not waited for.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use crate::driver::socket::canonical;

/// Between two look-ups of every name while there are peers: a new record is found within half a minute.
const LOOKUP_INTERVAL: Duration = Duration::from_secs(30);

/// Between two look-ups of every name while there are no peers.
const LOOKUP_INTERVAL_ALONE: Duration = Duration::from_secs(3);

/// Between the first answer and the look-up that confirms it. In this time peers that are up, and know where this node was,
/// have called on it several times.
const SECOND_LOOK: Duration = Duration::from_millis(1500);

/// Addresses taken from one name.
const ADDRESSES_PER_NAME_MAX: usize = 64;

/// What the resolver has found, shared with membership.
pub(in crate::driver) struct Seeds {
    found: watch::Sender<Vec<SocketAddr>>,
    /// Those of them that are waited for.
    awaited: Mutex<Awaited>,
    /// Set by membership: whether there are peers.
    alone: AtomicBool,
    /// Every seed is known: an address, or a name that was looked up twice, [`SECOND_LOOK`] apart, with the same answer.
    settled: watch::Sender<bool>,
}

/// Seeds that are waited for.
#[derive(Default)]
struct Awaited {
    addresses: Vec<SocketAddr>,
    /// From which an answer has come, and when the first one did.
    heard: BTreeMap<SocketAddr, Instant>,
    /// A name has not been looked up yet.
    unknown: bool,
}

impl Seeds {
    /// Starts with the seeds that are addresses already. Those `remembered` are not waited for.
    pub(in crate::driver) fn new(seeds: &[String], remembered: &[String]) -> (Self, Names) {
        let mut names = Names(BTreeMap::new());
        let remembered = remembered.iter().map(|seed| (seed, false));
        for (seed, awaited) in remembered.chain(seeds.iter().map(|seed| (seed, true))) {
            let address = seed.parse::<SocketAddr>().ok().map(canonical);
            let (literal, addresses) = (address.is_some(), Vec::from_iter(address));
            let name = Name { literal, awaited, looked_up: literal, addresses, failing: false, answers: 0 };
            names.0.insert(seed.clone(), name);
        }
        (
            Self {
                found: watch::Sender::new(names.addresses()),
                awaited: Mutex::new(names.awaited(Awaited::default())),
                alone: AtomicBool::new(true),
                settled: watch::Sender::new(false),
            },
            names,
        )
    }

    pub(in crate::driver) fn addresses(&self) -> Vec<SocketAddr> {
        self.found.borrow().clone()
    }

    pub(in crate::driver) fn watch(&self) -> watch::Receiver<Vec<SocketAddr>> {
        self.found.subscribe()
    }

    /// Whether every seed is known by now.
    pub(in crate::driver) fn settled(&self) -> watch::Receiver<bool> {
        self.settled.subscribe()
    }

    /// An answer of this cluster has come from an address.
    pub(in crate::driver) fn note_heard(&self, from: SocketAddr) {
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        if awaited.addresses.contains(&from) {
            awaited.heard.entry(from).or_insert_with(Instant::now);
        }
    }

    /// Whether an answer has come from there since it was a seed.
    pub(in crate::driver) fn is_heard(&self, seed: SocketAddr) -> bool {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner).heard.contains_key(&seed)
    }

    /// The seeds at which there is no peer, and whether there may be more of them: a name has not been looked up yet.
    ///
    /// A peer may go by another address than the one at which it is called, behind a name or a translation: so left out are
    /// also those that answered before `settled`, since when every member that is known has become a peer. And those of
    /// a family of addresses in which nobody was heard: a name may mean one host in two families, of which it listens in one.
    pub(in crate::driver) fn silent(
        &self,
        peers: &BTreeSet<SocketAddr>,
        settled: Option<Instant>,
    ) -> (Vec<SocketAddr>, bool) {
        let awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        let heard: BTreeSet<bool> = awaited.heard.keys().chain(peers).map(SocketAddr::is_ipv4).collect();
        let is_settled =
            |it: &SocketAddr| settled.zip(awaited.heard.get(it)).is_some_and(|(settled, heard)| *heard <= settled);
        let is_silent = |it: &&SocketAddr| {
            !peers.contains(it) && !is_settled(it) && (heard.is_empty() || heard.contains(&it.is_ipv4()))
        };
        (awaited.addresses.iter().filter(is_silent).copied().collect(), awaited.unknown)
    }

    pub(in crate::driver) fn alone(&self, alone: bool) {
        self.alone.store(alone, Ordering::Relaxed);
    }

    /// Resolves names for as long as it is polled; done soon when there are none.
    pub(in crate::driver) async fn keep_fresh(&self, mut names: Names) {
        if names.0.values().all(|name| name.literal) {
            tokio::time::sleep(SECOND_LOOK).await;
            self.settled.send_replace(!names.0.is_empty());
            return;
        }
        loop {
            for (text, name) in names.0.iter_mut().filter(|(_, name)| !name.literal) {
                name.take(text, look_up(text).await);
            }
            let addresses = names.addresses();
            {
                let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
                *awaited = names.awaited(std::mem::take(&mut awaited));
            }
            self.found.send_if_modified(|found| {
                let new = *found != addresses;
                *found = addresses;
                new
            });
            let (least, alone) = (names.answers(), self.alone.load(Ordering::Relaxed));
            self.settled.send_if_modified(|settled| std::mem::replace(settled, least >= 2) != (least >= 2));
            let pause = match least {
                1 if alone => SECOND_LOOK,
                _ if alone => LOOKUP_INTERVAL_ALONE,
                _ => LOOKUP_INTERVAL,
            };
            tokio::time::sleep(pause).await;
        }
    }
}

/// Asks the system's resolver, on a thread of its own. If no name server answers, that blocks for as long as its settings
/// say, ten seconds and more; a thread of the runtime would keep the runtime, and with it a stopped process, alive for
/// as long. This one is left behind.
async fn look_up(seed: &str) -> io::Result<Vec<SocketAddr>> {
    let (done, answer) = oneshot::channel();
    let seed = seed.to_owned();
    thread::Builder::new().name("cahoots-seeds".into()).spawn(move || {
        // The task that asked may have stopped.
        let _ = done.send(seed.to_socket_addrs().map(Iterator::collect));
    })?;
    answer.await.unwrap_or_else(|_| Err(io::Error::other("the look-up panicked")))
}

/// Seeds as configured, and what they mean.
pub(in crate::driver) struct Names(BTreeMap<String, Name>);

impl Names {
    /// How often each name has had the same answer by now, at least.
    fn answers(&self) -> u32 {
        self.0.values().filter(|name| !name.literal).map(|name| name.answers).min().unwrap_or(0)
    }
}

struct Name {
    literal: bool,
    awaited: bool,
    /// It has an address, or a look-up has ended, one way or another.
    looked_up: bool,
    addresses: Vec<SocketAddr>,
    failing: bool,
    /// Look-ups in a row that had this answer.
    answers: u32,
}

impl Names {
    fn addresses(&self) -> Vec<SocketAddr> {
        let mut addresses: Vec<_> = self.0.values().flat_map(|name| name.addresses.iter().copied()).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    /// What is waited for now.
    fn awaited(&self, before: Awaited) -> Awaited {
        let names = || self.0.values().filter(|name| name.awaited);
        let addresses: Vec<SocketAddr> = names().flat_map(|name| name.addresses.iter().copied()).collect();
        // Of a name that cannot be resolved nobody says that anybody is there.
        let unknown = names().any(|name| !name.looked_up);
        let heard = before.heard.into_iter().filter(|(it, _)| addresses.contains(it)).collect();
        Awaited { addresses, heard, unknown }
    }
}

impl Name {
    /// Takes an answer; a failure keeps the last one.
    fn take(&mut self, text: &str, answer: io::Result<Vec<SocketAddr>>) {
        self.looked_up = true;
        match answer {
            Ok(addresses) => {
                let mut addresses: Vec<_> = addresses.into_iter().map(canonical).collect();
                addresses.sort_unstable();
                addresses.dedup();
                addresses.truncate(ADDRESSES_PER_NAME_MAX);
                if self.addresses != addresses {
                    tracing::debug!(seed = text, ?addresses, "a seed resolves to other addresses");
                }
                self.answers = if self.addresses == addresses { self.answers.saturating_add(1) } else { 1 };
                if addresses.is_empty() {
                    self.answers = 0;
                }
                self.addresses = addresses;
                self.failing = false;
            }
            Err(error) => {
                // Once per outage: the look-up goes on every few seconds.
                if !self.failing {
                    tracing::warn!(seed = text, %error, "a seed does not resolve; keeping its last known addresses");
                }
                (self.failing, self.answers) = (true, 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_need_no_resolver() {
        let (seeds, _) = Seeds::new(&["127.0.0.1:2".into(), "127.0.0.1:1".into(), "127.0.0.1:2".into()], &[]);
        assert_eq!(seeds.addresses(), ["127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap()]);
    }

    #[test]
    fn a_failed_look_up_keeps_what_the_name_meant_and_a_new_answer_replaces_it() {
        let (one, two) = ("127.0.0.1:1".parse().unwrap(), "127.0.0.2:1".parse().unwrap());
        let (literal, awaited, looked_up) = (false, true, false);
        let mut name = Name { literal, awaited, looked_up, addresses: Vec::new(), failing: false, answers: 0 };
        name.take("db:1", Ok(vec![one, one]));
        assert_eq!(name.addresses, [one]);
        name.take("db:1", Err(io::Error::other("SERVFAIL")));
        assert_eq!((&name.addresses[..], name.failing), (&[one][..], true));
        name.take("db:1", Ok(vec![two]));
        assert_eq!((&name.addresses[..], name.failing, name.answers), (&[two][..], false, 1));
        name.take("db:1", Ok(vec![two]));
        assert_eq!(name.answers, 2, "it is the same as the last time");
        name.take("db:1", Err(io::Error::other("SERVFAIL")));
        assert_eq!(name.answers, 0, "who does not answer is not known");
    }

    #[tokio::test]
    async fn names_are_resolved_in_the_background() {
        let (seeds, names) = Seeds::new(&["localhost:7700".into()], &[]);
        assert!(seeds.addresses().is_empty());
        assert_eq!(seeds.silent(&BTreeSet::new(), None), (vec![], true), "nobody knows yet who that is");
        let mut found = seeds.watch();
        tokio::select! {
            () = seeds.keep_fresh(names) => panic!("there is a name to keep fresh"),
            changed = found.changed() => changed.unwrap(),
        }
        assert!(!seeds.silent(&BTreeSet::new(), None).1);
        assert!(seeds.addresses().iter().all(|address| address.ip().is_loopback() && address.port() == 7700));
    }

    #[test]
    fn a_seed_is_silent_until_there_is_a_peer_at_its_address_or_it_is_one_by_another() {
        let at = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let texts = ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "[::1]:1"].map(str::to_owned);
        let (seeds, _) = Seeds::new(&texts[..], &["127.0.0.1:9".into()]);
        let silent = |peers: &[&str], settled| seeds.silent(&peers.iter().map(|it| at(it)).collect(), settled).0;
        assert_eq!(silent(&[], None).len(), 4, "those that are remembered are not waited for");
        let before = Instant::now();
        seeds.note_heard(at("127.0.0.1:1"));
        seeds.note_heard(at("127.0.0.1:7"));
        let others = [at("127.0.0.1:1"), at("127.0.0.1:3")];
        assert_eq!(silent(&["127.0.0.1:2"], None), others, "nobody was heard by IPv6");
        assert_eq!(silent(&["127.0.0.1:2"], before.checked_sub(Duration::from_secs(1))), others);
        assert_eq!(silent(&["127.0.0.1:2"], Some(Instant::now())), [at("127.0.0.1:3")]);
        assert_eq!(silent(&["[::1]:5"], None).len(), 4);
    }
}
