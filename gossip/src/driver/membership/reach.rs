//! Who answers at the address that it announced.
//!
//! Chitchat's heartbeats travel by way of third parties, and its answers go to wherever a call came from, so they say
//! nothing about the way between two members. A *probe* does: it goes to the announced address of the other side, and so
//! does its echo. An echo that arrives proves both directions at announced addresses. One exchange serves both sides: who
//! is asked adds what it wants to have echoed itself, and a third datagram answers that.
//!
//! ```text
//! a -> b  ask 17                 a is there (b has heard it)
//! b -> a  ask 99, echo 17        both ways work, for a
//! a -> b          echo 99        both ways work, for b
//! ```
//!
//! Probes are of two lengths. *Full* ones are as long as the longest datagram of the engine: only if they pass, events do.
//! They are asked when a member is met and every [`FULL_INTERVAL`] after that. *Short* ones in between cost 47 bytes, 87 in
//! a cluster with a key. If short ones are answered and full ones are not, the path's MTU is too small.
//!
//! A member that answers is asked again after three fifths of the failure timeout, then eight times a second (at four seconds), and
//! counts as silent once no question has found an answer in three quarters of it, so 5.4 seconds after a cut at most. What is counted are questions: a process that was stopped has asked nothing, and takes nobody for silent. In
//! clusters of more than 120 the rest between questions grows, so that a node begins at most [`ASKS_PER_SECOND`].
//! Traffic of the engine counts for nothing here: at these sizes it would save a busy mesh less than a thousandth.
//!
//! An answer is never longer than its question, goes to the address membership knows for its sender, and who is no member
//! gets none: no node can be made to flood a third party.
//!
//! Time comes in as an argument; what is to be sent goes out.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use cahoots_crdt::ReplicaId;

use super::member::BrokenPath;
use super::roster::Reached;
use crate::mix;

/// Between two full probes of a peer that answers. A path whose MTU shrinks is found out by then; it is rare, and at rest
/// each costs three times 1,200 bytes a pair.
const FULL_INTERVAL: Duration = Duration::from_secs(300);

/// Questions that must have found no answer before a member counts as silent. In time there are twenty-five: with a third
/// of all datagrams lost an exchange fails every other time.
const SILENT_ASKS: u32 = 4;

/// Questions that a node at rest begins in a second, whatever the size of the cluster.
const ASKS_PER_SECOND: u32 = 50;

/// Members met at once that are asked at once; more follow at a millisecond each.
const BURST: u32 = 16;

/// When who is asked.
#[derive(Clone, Copy, Debug)]
pub(in crate::driver) struct Timing {
    /// Between an answer and the next question.
    rest: Duration,
    /// Between a question and its repetition.
    retry: Duration,
    /// Between two questions to a member that is silent.
    slow: Duration,
    /// From the first question without an answer to silence.
    patience: Duration,
    /// For so long what was heard last says how things are.
    recent: Duration,
}

impl Timing {
    pub(in crate::driver) fn new(failure_timeout: Duration, gossip_interval: Duration) -> Self {
        Self {
            rest: failure_timeout * 3 / 5,
            retry: gossip_interval.min(failure_timeout / 32),
            slow: failure_timeout / 2,
            patience: failure_timeout * 3 / 4,
            recent: failure_timeout * 2,
        }
    }
}

/// A probe to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::driver) struct Letter {
    pub(in crate::driver) to: SocketAddr,
    pub(in crate::driver) receiver: ReplicaId,
    pub(in crate::driver) ask: u32,
    pub(in crate::driver) echo: u32,
    /// Of the datagram; 0 = as short as can be.
    pub(in crate::driver) bytes: usize,
}

/// The members that are asked. As many as membership has live ones.
pub(in crate::driver) struct Reach {
    timing: Timing,
    /// Of a full datagram.
    full_bytes: usize,
    random: u64,
    targets: BTreeMap<ReplicaId, Target>,
}

struct Target {
    addr: SocketAddr,
    state: State,
    /// When a probe from it arrived last.
    heard: Option<Instant>,
    short: Track,
    full: Track,
    /// The next question is a full one, if either may be asked.
    full_next: bool,
    next: Instant,
}

#[derive(Clone, Copy)]
enum State {
    Trying,
    Answers { first: Instant },
    Silent(BrokenPath),
}

/// Questions of one length.
#[derive(Default)]
struct Track {
    nonce: u32,
    /// Questions since the last answer, and when the first of them was asked.
    asks: u32,
    since: Option<Instant>,
    answered: Option<Instant>,
}

impl Track {
    /// The number to ask with; one is kept until it is echoed, so that a late answer counts.
    fn ask(&mut self, now: Instant, random: &mut u64) -> u32 {
        if self.asks == 0 {
            self.nonce = nonce(random);
            self.since = Some(now);
        }
        self.asks = self.asks.saturating_add(1);
        self.nonce
    }

    fn is_asked(&self, echo: u32) -> bool {
        self.asks > 0 && self.nonce == echo
    }

    fn answer(&mut self, now: Instant) {
        (self.asks, self.since, self.answered) = (0, None, Some(now));
    }

    fn is_silent(&self, now: Instant, patience: Duration) -> bool {
        self.asks >= SILENT_ASKS && self.since.is_some_and(|since| now.duration_since(since) >= patience)
    }

    fn is_fresh(&self, now: Instant, age: Duration) -> bool {
        self.answered.is_some_and(|at| now.duration_since(at) < age)
    }
}

impl Target {
    fn new(addr: SocketAddr, next: Instant) -> Self {
        let (short, full) = Default::default();
        Self { addr, state: State::Trying, heard: None, short, full, full_next: true, next }
    }

    /// What is broken, if it is silent.
    fn broken(&self, now: Instant, timing: &Timing) -> BrokenPath {
        let short_answers = self.short.is_fresh(now, timing.recent) && !self.short.is_silent(now, timing.patience);
        let silent_since = self.short.since.max(self.full.since);
        let is_heard = self
            .heard
            .is_some_and(|at| now.duration_since(at) < timing.recent && silent_since.is_none_or(|it| at > it));
        if short_answers {
            BrokenPath::Large
        } else if is_heard {
            BrokenPath::ToIt
        } else {
            BrokenPath::FromIt
        }
    }

    /// Takes in that time has passed; says whether that changes how it stands.
    fn review(&mut self, now: Instant, timing: &Timing) -> bool {
        let silent = [&self.short, &self.full].into_iter().any(|it| it.is_silent(now, timing.patience));
        let state = match self.state {
            State::Silent(path) => {
                let new = self.broken(now, timing);
                self.state = State::Silent(new);
                return new != path;
            }
            _ if silent => State::Silent(self.broken(now, timing)),
            _ => return false,
        };
        self.state = state;
        true
    }

    /// Whether the next question is to be a full one.
    fn wants_full(&self, now: Instant) -> bool {
        match self.state {
            State::Answers { .. } if self.full.asks == 0 => !self.full.is_fresh(now, FULL_INTERVAL),
            // Once a full one is not answered, both kinds are asked in turn, to tell what passes.
            _ => self.full_next,
        }
    }

    fn ask(&mut self, now: Instant, full: bool, random: &mut u64) -> u32 {
        self.full_next = !full;
        if full { self.full.ask(now, random) } else { self.short.ask(now, random) }
    }
}

impl Reach {
    /// `full_bytes` is the length of the longest datagrams of the engine. Of `seed` nothing is expected but that others
    /// do not know it.
    pub(in crate::driver) fn new(timing: Timing, full_bytes: usize, seed: u64) -> Self {
        Self { timing, full_bytes, random: seed, targets: BTreeMap::new() }
    }

    /// Takes over who is to be asked, and where. Who is new, or has moved, is asked at once.
    pub(in crate::driver) fn aim(&mut self, now: Instant, members: impl Iterator<Item = (ReplicaId, SocketAddr)>) {
        let mut former = std::mem::take(&mut self.targets);
        let mut new = 0_u32;
        for (id, addr) in members {
            let target = former.remove(&id).filter(|target| target.addr == addr).unwrap_or_else(|| {
                new += 1;
                Target::new(addr, now + Duration::from_millis(1) * new.saturating_sub(BURST))
            });
            self.targets.insert(id, target);
        }
    }

    /// Whether a member answers at this address.
    pub(in crate::driver) fn look(&self, id: ReplicaId, addr: SocketAddr) -> Reached {
        let Some(target) = self.targets.get(&id).filter(|target| target.addr == addr) else { return Reached::Trying };
        match target.state {
            State::Trying => Reached::Trying,
            State::Silent(path) => Reached::No(path),
            State::Answers { first } => {
                Reached::Yes { first, last: target.short.answered.max(target.full.answered).unwrap_or(first) }
            }
        }
    }

    /// When [`Reach::poll`] has something to do.
    pub(in crate::driver) fn next_at(&self) -> Option<Instant> {
        self.targets.values().map(|target| target.next).min()
    }

    /// The questions that are due, and whether a peer has fallen silent, or in another way.
    pub(in crate::driver) fn poll(&mut self, now: Instant) -> (Vec<Letter>, bool) {
        let (timing, full_bytes) = (self.timing, self.full_bytes);
        let (mut letters, mut changed) = (Vec::new(), false);
        for (id, target) in self.targets.iter_mut().filter(|(_, target)| target.next <= now) {
            changed |= target.review(now, &timing);
            let full = target.wants_full(now);
            let ask = target.ask(now, full, &mut self.random);
            let bytes = if full { full_bytes } else { 0 };
            letters.push(Letter { to: target.addr, receiver: *id, ask, echo: 0, bytes });
            target.next = now + if matches!(target.state, State::Silent(_)) { timing.slow } else { timing.retry };
        }
        (letters, changed)
    }

    /// Takes in a probe that arrived in a datagram of `bytes`: the answer to it, and whether the sender stands otherwise
    /// now. One of a stranger changes nothing and has no answer.
    pub(in crate::driver) fn handle(
        &mut self,
        now: Instant,
        sender: ReplicaId,
        (ask, echo): (u32, u32),
        bytes: usize,
    ) -> (Option<Letter>, bool) {
        let rest = self.rest();
        let Some(target) = self.targets.get_mut(&sender) else { return (None, false) };
        target.heard = Some(now);
        let mut changed = false;
        if echo != 0 && target.full.is_asked(echo) {
            target.full.answer(now);
            target.short.answer(now);
            if !matches!(target.state, State::Answers { .. }) {
                target.state = State::Answers { first: now };
                changed = true;
            }
            target.next = now + rest;
        } else if echo != 0 && target.short.is_asked(echo) {
            target.short.answer(now);
            if matches!(target.state, State::Answers { .. }) && target.full.asks == 0 {
                target.next = now + rest;
            }
        }
        if ask == 0 {
            return (None, changed);
        }
        // The way back is to carry what the way there did; but no sender gets more than it has sent.
        let bytes = bytes.min(self.full_bytes);
        let full = bytes == self.full_bytes;
        let track = if full { &target.full } else { &target.short };
        // What has just been answered is not asked again: else two sides would ask each other without end.
        let is_settled = track.is_fresh(now, self.timing.rest / 2);
        let ours = if is_settled {
            0
        } else {
            target.next = target.next.max(now + self.timing.retry);
            target.ask(now, full, &mut self.random)
        };
        (Some(Letter { to: target.addr, receiver: sender, ask: ours, echo: ask, bytes }), changed)
    }

    /// Between an answer and the next question, no two alike.
    fn rest(&mut self) -> Duration {
        let members = u32::try_from(self.targets.len()).unwrap_or(u32::MAX);
        let rest = self.timing.rest.max(Duration::from_secs(1) * members / ASKS_PER_SECOND);
        rest - rest / 8 * (nonce(&mut self.random) % 64) / 64
    }
}

/// A number that strangers cannot guess, never zero.
fn nonce(random: &mut u64) -> u32 {
    loop {
        #[allow(clippy::cast_possible_truncation, reason = "half of the bits are as good as all")]
        let number = (mix::next(random) >> 32) as u32;
        if number != 0 {
            return number;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(4);
    const TICK: Duration = Duration::from_millis(10);
    const FULL: usize = 1200;
    const SHORT: usize = 47;

    /// Two nodes and the way between them.
    struct Pair {
        now: Instant,
        nodes: [Reach; 2],
        /// The longest datagram that passes from the first to the second, and back.
        passes: [usize; 2],
        /// Bytes and datagrams that either has sent.
        sent: [(usize, usize); 2],
        changes: usize,
    }

    fn id(node: usize) -> ReplicaId {
        ReplicaId::new(node as u64 + 1)
    }

    fn addr(node: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 1 + u16::try_from(node).unwrap()))
    }

    impl Pair {
        fn new() -> Self {
            let timing = Timing::new(TIMEOUT, Duration::from_millis(250));
            let nodes = [1, 2].map(|seed| Reach::new(timing, FULL, seed));
            Self { now: Instant::now(), nodes, passes: [FULL; 2], sent: [(0, 0); 2], changes: 0 }
        }

        fn meet(&mut self, node: usize) {
            self.nodes[node].aim(self.now, [(id(1 - node), addr(1 - node))].into_iter());
        }

        fn deliver(&mut self, from: usize, letter: Letter) {
            let bytes = letter.bytes.max(SHORT);
            assert_eq!((letter.to, letter.receiver), (addr(1 - from), id(1 - from)));
            self.sent[from] = (self.sent[from].0 + bytes, self.sent[from].1 + 1);
            if bytes > self.passes[from] {
                return;
            }
            let (answer, changed) = self.nodes[1 - from].handle(self.now, id(from), (letter.ask, letter.echo), bytes);
            self.changes += usize::from(changed);
            if let Some(answer) = answer {
                assert!(answer.bytes.max(SHORT) <= bytes, "an answer is never longer than its question");
                self.deliver(1 - from, answer);
            }
        }

        /// Lets time pass, on a network without delay.
        fn pass(&mut self, time: Duration) {
            let end = self.now + time;
            while self.now < end {
                for node in 0..2 {
                    let (letters, changed) = self.nodes[node].poll(self.now);
                    self.changes += usize::from(changed);
                    letters.into_iter().for_each(|letter| self.deliver(node, letter));
                }
                self.now += TICK;
            }
        }

        fn look(&self, node: usize) -> Reached {
            self.nodes[node].look(id(1 - node), addr(1 - node))
        }

        fn answers(&self) -> [bool; 2] {
            [0, 1].map(|node| matches!(self.look(node), Reached::Yes { .. }))
        }
    }

    #[test]
    fn both_sides_know_by_three_datagrams_although_one_has_met_the_other_later() {
        let mut pair = Pair::new();
        pair.meet(0);
        pair.pass(TICK);
        assert_eq!((pair.answers(), pair.sent[1].1), ([false; 2], 0), "a stranger gets no answer");
        pair.sent = [(0, 0); 2];
        pair.meet(1);
        pair.pass(TICK);
        assert_eq!(pair.answers(), [true; 2]);
        assert_eq!(pair.sent, [(FULL, 1), (2 * FULL, 2)]);
    }

    #[test]
    fn at_rest_a_pair_sends_three_short_datagrams_in_three_fifths_of_the_timeout() {
        let mut pair = Pair::new();
        [0, 1].into_iter().for_each(|node| pair.meet(node));
        pair.pass(TICK);
        pair.sent = [(0, 0); 2];
        pair.pass(Duration::from_secs(200));
        let (bytes, datagrams) = (pair.sent[0].0 + pair.sent[1].0, pair.sent[0].1 + pair.sent[1].1);
        assert!((240..=300).contains(&datagrams), "{datagrams}");
        assert_eq!(bytes, datagrams * SHORT);
        assert_eq!((pair.answers(), pair.changes), ([true; 2], 2));
        pair.pass(Duration::from_secs(200));
        let more = pair.sent[0].0 + pair.sent[1].0 - (pair.sent[0].1 + pair.sent[1].1) * SHORT;
        assert_eq!(more, 3 * (FULL - SHORT), "once in a while full ones are asked");
    }

    #[test]
    fn a_member_cut_off_is_silent_after_the_timeout_and_answers_again_soon() {
        let mut pair = Pair::new();
        [0, 1].into_iter().for_each(|node| pair.meet(node));
        pair.pass(Duration::from_secs(10));
        pair.passes = [0, 0];
        let cut = pair.now;
        while pair.answers() != [false; 2] {
            pair.pass(TICK);
            assert!(pair.now - cut < TIMEOUT * 3 / 2);
        }
        assert!(pair.now - cut > TIMEOUT / 2);
        assert_eq!([0, 1].map(|node| pair.look(node)), [Reached::No(BrokenPath::FromIt); 2]);
        pair.pass(TIMEOUT * 10);
        pair.passes = [FULL; 2];
        pair.pass(TIMEOUT);
        assert_eq!(pair.answers(), [true; 2]);
    }

    #[test]
    fn of_a_link_that_works_one_way_both_sides_know_which_way() {
        for met in [true, false] {
            let mut pair = Pair::new();
            [0, 1].into_iter().for_each(|node| pair.meet(node));
            if met {
                pair.pass(Duration::from_secs(10));
            }
            pair.passes = [0, FULL];
            pair.pass(TIMEOUT * 3);
            assert_eq!(pair.look(0), Reached::No(BrokenPath::ToIt), "met {met}");
            assert_eq!(pair.look(1), Reached::No(BrokenPath::FromIt), "met {met}");
            pair.passes = [FULL; 2];
            pair.pass(TIMEOUT);
            assert_eq!(pair.answers(), [true; 2]);
        }
    }

    #[test]
    fn a_path_that_carries_short_datagrams_only_is_told_as_such() {
        for (met, passes) in [(false, [FULL - 1; 2]), (false, [FULL, FULL - 1]), (true, [FULL - 1; 2])] {
            let mut pair = Pair::new();
            [0, 1].into_iter().for_each(|node| pair.meet(node));
            if met {
                pair.pass(Duration::from_secs(10));
            }
            pair.passes = passes;
            pair.pass(FULL_INTERVAL + TIMEOUT * 3);
            for node in 0..2 {
                assert_eq!(pair.look(node), Reached::No(BrokenPath::Large), "{met} {passes:?} at {node}");
            }
            pair.passes = [FULL; 2];
            pair.pass(TIMEOUT * 2);
            assert_eq!(pair.answers(), [true; 2]);
        }
    }

    #[test]
    fn who_was_stopped_takes_nobody_for_silent_when_it_goes_on() {
        let mut pair = Pair::new();
        [0, 1].into_iter().for_each(|node| pair.meet(node));
        pair.pass(Duration::from_secs(10));
        pair.now += TIMEOUT * 10;
        pair.pass(TIMEOUT);
        assert_eq!((pair.answers(), pair.changes), ([true; 2], 2));
    }

    #[test]
    fn with_a_third_of_all_datagrams_lost_nobody_falls_silent() {
        let mut random = 1;
        for _ in 0..20 {
            let mut pair = Pair::new();
            [0, 1].into_iter().for_each(|node| pair.meet(node));
            pair.pass(Duration::from_secs(1));
            for _ in 0..3_000 {
                pair.passes = [0, 1].map(|_| if nonce(&mut random).is_multiple_of(3) { 0 } else { FULL });
                pair.pass(TICK);
            }
            assert_eq!((pair.answers(), pair.changes), ([true; 2], 2));
        }
    }

    #[test]
    fn who_moves_is_asked_at_its_new_address_and_an_echo_of_nothing_asked_proves_nothing() {
        let mut pair = Pair::new();
        [0, 1].into_iter().for_each(|node| pair.meet(node));
        pair.pass(TICK);
        pair.nodes[0].aim(pair.now, [(id(1), addr(7))].into_iter());
        assert_eq!(pair.nodes[0].look(id(1), addr(1)), Reached::Trying);
        let (letters, _) = pair.nodes[0].poll(pair.now);
        assert_eq!((letters[0].to, letters[0].bytes), (addr(7), FULL));
        for echo in [0, letters[0].ask ^ 1] {
            pair.nodes[0].handle(pair.now, id(1), (0, echo), FULL);
            assert_eq!(pair.nodes[0].look(id(1), addr(7)), Reached::Trying);
        }
        pair.nodes[0].handle(pair.now, id(1), (0, letters[0].ask), FULL);
        assert!(matches!(pair.nodes[0].look(id(1), addr(7)), Reached::Yes { .. }));
    }

    #[test]
    fn in_a_large_cluster_questions_are_asked_no_more_often_than_in_one_of_120() {
        let timing = Timing::new(TIMEOUT, Duration::from_millis(250));
        let (mut reach, mut now) = (Reach::new(timing, FULL, 1), Instant::now());
        reach.aim(now, (1..=1000).map(|n| (ReplicaId::new(n), addr(1))));
        let begun = now;
        let mut first = 0;
        let mut asked = 0;
        while now - begun < Duration::from_secs(60) {
            let (letters, _) = reach.poll(now);
            first = first.max(letters.len());
            if now - begun > Duration::from_secs(20) {
                asked += letters.len();
            }
            for letter in letters {
                reach.handle(now, letter.receiver, (0, letter.ask), FULL);
            }
            now += TICK;
        }
        assert!(first <= usize::try_from(BURST).unwrap() + 1 + TICK.as_millis() as usize, "{first}");
        assert!(asked <= 40 * 60, "{asked}");
    }
}
