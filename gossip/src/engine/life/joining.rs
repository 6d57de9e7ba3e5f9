//! Whether a replica has caught up with the cluster it joins, so that it may serve.
//!
//! A joiner notes what each live peer says it has when it is first heard, and is *ready* once it has all of that: of one
//! peer that is ready itself, or of every live peer. The second rule is for clusters that start all at once: joiners that
//! have what each other had are equal, and nobody waits for somebody who waits. It holds only after a moment without
//! new peers, lest two fresh ones meet first and serve before they have met the one with the data.
//!
//! It never waits for ever: after some time without progress it serves what it has, and says so. What counts as progress
//! is bounded (what was said at first does not grow), so that ends too.
//!
//! Refuses to know how anything is asked or fetched. Time and what is applied come in as arguments.

use std::collections::BTreeMap;

use std::ops::RangeInclusive;

use cahoots_crdt::{ReplicaId, VersionVector};

use crate::engine::repair::versions::ALL;
use crate::engine::{Event, Now, Replica};
use crate::store::BUCKETS;

/// Before live peers that have not said all are asked again, in microseconds; doubled each time.
const ASK_US: u64 = 50_000;
const ASK_MOST_US: u64 = 1_000_000;
/// How many are asked at once: one that is ready is enough.
const ASKED_MAX: usize = 8;
/// So many entries of what is to be here cost a microsecond of rest between two looks at them: a tenth of the time that
/// looking takes at most.
const ENTRIES_PER_US: u64 = 4;
/// Separate ranges of ids remembered of one peer's account. What would need more is asked for again.
const RANGES_MAX: usize = 1024;

/// Why a replica serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadyReason {
    /// It was started to be the first.
    First,
    /// It has everything that a peer which was ready had.
    CaughtUp {
        /// The peer.
        peer: ReplicaId,
    },
    /// It has everything that every live peer had; none of them was ready before.
    Together,
    /// Nobody was heard in time: it serves what it has, alone.
    Alone,
    /// There was no progress for too long: it serves what it has, which is not everything.
    Unfinished {
        /// How much of it, in percent.
        percent: u8,
    },
}

/// How far a joiner is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Of what the live peers had, how much is here; 0 before one was heard.
    pub percent: u8,
    /// Live peers that have said what they have.
    pub peers_heard: usize,
    /// Live peers.
    pub peers_live: usize,
    /// Of [`BUCKETS`], how many were fetched, if it catches up by buckets.
    pub buckets: usize,
}

/// Whether a replica has what its cluster has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It is catching up.
    Joining(Progress),
    /// It is ready, and was declared so for this reason.
    Ready(ReadyReason),
}

impl Readiness {
    /// Whether it is ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self, Self::Ready(_))
    }
}

/// What a peer said it had when it was first heard. It may come in parts: range by range of ids, some of them by no more
/// than that they are equal here.
#[derive(Debug)]
struct Account {
    ready: bool,
    versions: VersionVector,
    /// The ranges of ids told of: apart from each other, by their first ids.
    told: BTreeMap<u64, u64>,
    /// How often it was asked, and when it will be asked again if it has not told all by then.
    asks: u32,
    ask_at: u64,
}

impl Account {
    fn new() -> Self {
        Self { ready: true, versions: VersionVector::new(), told: BTreeMap::new(), asks: 0, ask_at: 0 }
    }

    /// The first range of ids not told of.
    fn gap(&self) -> RangeInclusive<ReplicaId> {
        let first = self.told.get(&0).map_or(0, |last| last.saturating_add(1));
        let last = self.told.range(first..).next().map_or(u64::MAX, |(from, _)| from - 1);
        ReplicaId::new(first)..=ReplicaId::new(last)
    }

    fn is_complete(&self) -> bool {
        self.told.get(&0) == Some(&u64::MAX)
    }

    fn is_told(&self, id: ReplicaId) -> bool {
        self.told.range(..=id.get()).next_back().is_some_and(|(_, last)| *last >= id.get())
    }

    /// Notes what was said of a range; of ids that were told of before, the first word counts.
    fn note(&mut self, range: &RangeInclusive<ReplicaId>, entries: impl Iterator<Item = (ReplicaId, u64)>) {
        let (mut first, mut last) = (range.start().get(), range.end().get());
        if first > last {
            return;
        }
        let news: VersionVector = entries.filter(|(id, _)| range.contains(id) && !self.is_told(*id)).collect();
        let touching = |(from, to): &(u64, u64)| *from <= last.saturating_add(1) && first <= to.saturating_add(1);
        let merged: Vec<(u64, u64)> = self.told.iter().map(|(from, to)| (*from, *to)).filter(touching).collect();
        if merged.is_empty() && self.told.len() == RANGES_MAX {
            return;
        }
        for (from, to) in merged {
            self.told.remove(&from);
            (first, last) = (first.min(from), last.max(to));
        }
        self.told.insert(first, last);
        self.versions.merge(&news);
    }
}

/// A replica that is not ready yet.
#[derive(Debug)]
pub(in crate::engine) struct Joining {
    timeout_us: u64,
    settle_us: u64,
    /// Live peers.
    peers: BTreeMap<ReplicaId, Account>,
    /// What all of them together had.
    goal: VersionVector,
    /// When the last one came.
    changed_at: u64,
    /// The most that was ever here of what was to be here, and since when.
    best: u128,
    progress_at: u64,
    /// The most bytes of one answer that have come since.
    best_bytes: u64,
    reviewed_at: u64,
    /// Who is waited for has changed since.
    stale: bool,
}

impl Joining {
    /// Begins at `now`; serves after `timeout_us` without progress. The clock counts microseconds.
    pub(in crate::engine) fn new(now: u64, timeout_us: u64, settle_us: u64) -> Self {
        Self {
            timeout_us,
            settle_us,
            peers: BTreeMap::new(),
            goal: VersionVector::new(),
            changed_at: now,
            best: 0,
            progress_at: now,
            best_bytes: 0,
            reviewed_at: now,
            stale: false,
        }
    }

    /// A peer has come up. Until told otherwise it counts as ready.
    pub(in crate::engine) fn peer_up(&mut self, now: u64, id: ReplicaId) {
        self.peers.entry(id).or_insert_with(Account::new);
        self.changed_at = now;
    }

    /// A peer says whether it is ready.
    pub(in crate::engine) fn peer_ready(&mut self, id: ReplicaId, ready: bool) {
        if let Some(account) = self.peers.get_mut(&id) {
            account.ready = ready;
        }
    }

    /// A peer is down or gone: it is not waited for.
    pub(in crate::engine) fn peer_down(&mut self, id: ReplicaId) {
        if self.peers.remove(&id).is_some() {
            self.stale = true;
            self.goal = VersionVector::new();
            self.peers.values().for_each(|account| self.goal.merge(&account.versions));
        }
    }

    /// A peer has said what it has of a range of ids; of those not among the entries, nothing or what is here.
    pub(in crate::engine) fn heard(
        &mut self,
        id: ReplicaId,
        range: &RangeInclusive<ReplicaId>,
        entries: impl Iterator<Item = (ReplicaId, u64)>,
    ) {
        if let Some(account) = self.peers.get_mut(&id) {
            account.note(range, entries);
            self.goal.merge(&account.versions);
        }
    }

    /// A peer has the same as is here.
    pub(in crate::engine) fn agrees(&mut self, id: ReplicaId) {
        self.heard(id, &ALL, std::iter::empty());
    }

    /// Whom to ask now what they have, and of which ids: a few, those that are ready first.
    pub(in crate::engine) fn choose_asked(&mut self, now: u64) -> Vec<(ReplicaId, RangeInclusive<ReplicaId>)> {
        let silent = self.peers.iter_mut().filter(|(_, account)| !account.is_complete());
        let (waiting, mut due): (Vec<_>, Vec<_>) = silent.partition(|(_, it)| it.asks > 0 && now < it.ask_at);
        due.sort_by_key(|(_, account)| (!account.ready, account.asks));
        due.truncate(ASKED_MAX.saturating_sub(waiting.len()));
        let ask = |(id, account): (&ReplicaId, &mut Account)| {
            account.ask_at = now + (ASK_US << account.asks.min(10)).min(ASK_MOST_US);
            account.asks = account.asks.saturating_add(1);
            (*id, account.gap())
        };
        due.into_iter().map(ask).collect()
    }

    /// Something has come that may make it ready. Says whether to look at once: a look costs as much as the peers have
    /// incarnations in their accounts, and must not cost more than what came.
    fn is_due_for_news(&mut self, now: u64) -> bool {
        self.stale |= now < self.rests_until();
        !self.stale || now >= self.rests_until()
    }

    fn rests_until(&self) -> u64 {
        self.reviewed_at + self.goal.len() as u64 / ENTRIES_PER_US
    }

    /// When to look again although nothing has happened.
    pub(in crate::engine) fn due(&self) -> u64 {
        if self.stale {
            return self.rests_until();
        }
        // Those never asked wait for one of these to answer, as do those that were to be asked again while others were.
        let asked = self.peers.values().filter(|account| account.asks > 0 && !account.is_complete());
        let ask = asked.map(|account| account.ask_at).filter(|at| *at > self.reviewed_at).min();
        let settled = (!self.peers.is_empty()).then_some(self.changed_at.saturating_add(self.settle_us));
        // Once it has settled, only news can help.
        let settled = settled.filter(|at| *at > self.reviewed_at);
        [ask, settled].into_iter().flatten().fold(self.gives_up_at(), u64::min)
    }

    /// So many bytes of an answer have come. One that breaks off and begins anew is progress only where it comes further.
    pub(in crate::engine) fn note_bytes(&mut self, now: u64, bytes: u64) {
        if bytes > self.best_bytes {
            (self.best_bytes, self.progress_at) = (bytes, now);
        }
    }

    /// When it serves although nothing more has come; a timeout may be for ever.
    fn gives_up_at(&self) -> u64 {
        self.progress_at.saturating_add(self.timeout_us)
    }

    /// Whether the replica is ready, given what is applied here: in all buckets, and how many buckets are ahead of that.
    pub(in crate::engine) fn review(
        &mut self,
        now: u64,
        me: ReplicaId,
        here: &VersionVector,
        ahead: usize,
    ) -> Option<ReadyReason> {
        (self.reviewed_at, self.stale) = (now, false);
        let has = |account: &Account| {
            // What is told of the own id is no matter of catching up.
            account.is_complete() && account.versions.iter().all(|(id, seq)| id == me || here.get(id) >= seq)
        };
        if let Some((peer, _)) = self.peers.iter().find(|(_, account)| account.ready && has(account)) {
            return Some(ReadyReason::CaughtUp { peer: *peer });
        }
        let settled = now >= self.changed_at.saturating_add(self.settle_us);
        if settled && !self.peers.is_empty() && self.peers.values().all(has) {
            return Some(ReadyReason::Together);
        }
        let reached = self.reached(here, ahead);
        if reached > self.best {
            (self.best, self.progress_at, self.best_bytes) = (reached, now, 0);
        }
        if now < self.gives_up_at() {
            return None;
        }
        let heard = self.peers.values().any(|account| account.is_complete());
        let percent = self.progress(me, here, ahead).percent;
        Some(if heard { ReadyReason::Unfinished { percent } } else { ReadyReason::Alone })
    }

    /// How far it is.
    pub(in crate::engine) fn progress(&self, me: ReplicaId, here: &VersionVector, ahead: usize) -> Progress {
        let (mut wanted, mut had) = (0, 0);
        for (id, seq) in self.goal.iter().filter(|(id, _)| *id != me) {
            wanted += u128::from(seq);
            had += u128::from(seq.min(here.get(id)));
        }
        let heard = self.peers.values().filter(|account| account.is_complete()).count();
        // By buckets nothing is applied in all of them before the last has come.
        let by_events = (had * 100).checked_div(wanted).unwrap_or(if heard > 0 { 100 } else { 0 });
        let by_buckets = (ahead * 100 / BUCKETS) as u128;
        let percent = u8::try_from(by_events.max(by_buckets).min(100)).expect("at most a hundred");
        Progress { percent, peers_heard: heard, peers_live: self.peers.len(), buckets: ahead }
    }

    /// A measure of progress: events of the goal that are here, peers heard, buckets fetched.
    fn reached(&self, here: &VersionVector, ahead: usize) -> u128 {
        let events: u128 = self.goal.iter().map(|(id, seq)| u128::from(seq.min(here.get(id)))).sum();
        let heard = self.peers.values().filter(|account| account.is_complete()).count();
        events + (heard + ahead) as u128
    }
}

impl Replica {
    /// Begins as one that joins a cluster: not ready before it has what the cluster has, or there was no progress for
    /// `timeout_us`. A replica for which this is not called is ready from the start.
    pub fn join(&mut self, now: Now, timeout_us: u64) {
        self.joining = Some(Joining::new(now.mono, timeout_us, self.config.join_settle_us));
    }

    /// Whether it is ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.joining.is_none()
    }

    /// Whether it is ready, and why; or how far it is.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let (here, ahead) = (self.store.version_vector(), self.store.buckets_ahead());
        let progress = |joining: &Joining| joining.progress(self.id(), here, ahead);
        self.joining.as_ref().map_or(Readiness::Ready(self.ready), |it| Readiness::Joining(progress(it)))
    }

    /// A peer announces whether it is ready itself. One that announces nothing is.
    pub fn peer_ready(&mut self, now: Now, id: ReplicaId, ready: bool) {
        if let Some(joining) = &mut self.joining {
            joining.peer_ready(id, ready);
            self.review_joining(now);
        }
    }

    /// A peer has come up: a joiner wants to know what it has, in full. Says whether it is one.
    pub(in crate::engine) fn expect_account(&mut self, now: Now, id: ReplicaId) -> bool {
        let Some(joining) = &mut self.joining else { return false };
        joining.peer_up(now.mono, id);
        self.review_joining(now);
        true
    }

    /// A peer is down or gone.
    pub(in crate::engine) fn expect_no_account(&mut self, now: Now, id: ReplicaId) {
        if let Some(joining) = &mut self.joining {
            joining.peer_down(id);
            self.review_joining(now);
        }
    }

    /// Something has come, or time has passed: looks whether it is ready, now or soon.
    pub(in crate::engine) fn consider_joining(&mut self, now: Now) {
        if self.joining.as_mut().is_some_and(|it| it.is_due_for_news(now.mono)) {
            self.review_joining(now);
        }
    }

    /// Looks whether it is ready now, and asks whoever has to be asked.
    pub(in crate::engine) fn review_joining(&mut self, now: Now) {
        let Some(joining) = self.joining.as_mut().filter(|_| !self.conflicted) else { return };
        let (here, ahead) = (self.store.version_vector(), self.store.buckets_ahead());
        if let Some(reason) = joining.review(now.mono, self.store.id(), here, ahead) {
            (self.joining, self.ready) = (None, reason);
            self.emit(Event::Ready { reason });
            return;
        }
        for (peer, ids) in joining.choose_asked(now.mono) {
            if ids == ALL {
                self.send_versions(peer, true);
            } else {
                self.list_versions(peer, &ids, true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: ReplicaId = ReplicaId::new(1);
    const A: ReplicaId = ReplicaId::new(2);
    const B: ReplicaId = ReplicaId::new(3);
    const LAST: ReplicaId = ReplicaId::new(u64::MAX);
    const TIMEOUT: u64 = 5_000_000;
    const SETTLE: u64 = 250_000;

    fn vv<const N: usize>(entries: [(ReplicaId, u64); N]) -> VersionVector {
        entries.into_iter().collect()
    }

    fn joining() -> Joining {
        Joining::new(0, TIMEOUT, SETTLE)
    }

    fn says<const N: usize>(joining: &mut Joining, peer: ReplicaId, entries: [(ReplicaId, u64); N]) {
        joining.heard(peer, &ALL, entries.into_iter());
    }

    #[test]
    fn an_answer_that_comes_further_than_any_before_is_progress_and_one_that_breaks_off_again_and_again_is_not() {
        let mut it = joining();
        it.peer_up(0, A);
        says(&mut it, A, [(A, 10)]);
        for second in 1..60 {
            it.note_bytes(second * 1_000_000, second * 100);
            assert_eq!(it.review(second * 1_000_000, ME, &vv([]), 0), None);
        }
        let end = 59_000_000 + TIMEOUT;
        for again in 0..100 {
            it.note_bytes(end - 1, again * 50);
        }
        assert_eq!(it.review(end, ME, &vv([]), 0), Some(ReadyReason::Unfinished { percent: 0 }));
    }

    #[test]
    fn one_ready_peer_is_enough_once_all_it_had_at_first_is_here() {
        let mut it = joining();
        it.peer_up(0, A);
        it.peer_up(0, B);
        says(&mut it, A, [(A, 10), (B, 3)]);
        says(&mut it, A, [(A, 99)]); // later ones do not count
        assert_eq!(it.review(1, ME, &vv([(A, 10), (B, 2)]), 0), None);
        assert_eq!(it.review(1, ME, &vv([(A, 10), (B, 3)]), 0), Some(ReadyReason::CaughtUp { peer: A }));
    }

    #[test]
    fn of_peers_that_are_not_ready_all_are_waited_for_and_a_moment_for_others() {
        let mut it = joining();
        for peer in [A, B] {
            it.peer_up(10, peer);
            it.peer_ready(peer, false);
        }
        says(&mut it, A, []);
        let now = 10 + SETTLE;
        assert_eq!(it.review(now, ME, &vv([]), 0), None, "B has said nothing");
        says(&mut it, B, [(B, 1)]);
        assert_eq!(it.review(now, ME, &vv([]), 0), None, "B has something");
        assert_eq!(it.review(now - 1, ME, &vv([(B, 1)]), 0), None, "others may come");
        assert_eq!(it.review(now, ME, &vv([(B, 1)]), 0), Some(ReadyReason::Together));
    }

    #[test]
    fn joiners_that_wait_for_each_other_are_ready_as_soon_as_they_are_equal() {
        let mut both = [joining(), joining()];
        for (it, peer) in both.iter_mut().zip([A, ME]) {
            it.peer_up(0, peer);
            it.peer_ready(peer, false);
            it.agrees(peer);
        }
        let [mine, theirs] = &mut both;
        assert_eq!((mine.due(), theirs.due()), (SETTLE, SETTLE));
        assert_eq!(mine.review(SETTLE, ME, &vv([]), 0), Some(ReadyReason::Together));
        assert_eq!(theirs.review(SETTLE, A, &vv([]), 0), Some(ReadyReason::Together));
    }

    #[test]
    fn a_peer_that_becomes_ready_or_goes_away_changes_who_is_waited_for() {
        let mut it = joining();
        for peer in [A, B] {
            it.peer_up(0, peer);
            it.peer_ready(peer, false);
        }
        says(&mut it, A, []);
        says(&mut it, B, [(B, 9)]);
        assert_eq!(it.review(SETTLE, ME, &vv([]), 0), None);
        it.peer_ready(A, true);
        assert_eq!(it.review(SETTLE, ME, &vv([]), 0), Some(ReadyReason::CaughtUp { peer: A }));
        it.peer_ready(A, false);
        it.peer_down(B);
        assert_eq!(it.review(SETTLE, ME, &vv([]), 0), Some(ReadyReason::Together));
    }

    #[test]
    fn whom_nobody_answers_serves_alone_after_the_timeout_and_not_before() {
        let mut it = joining();
        assert_eq!(it.due(), TIMEOUT);
        assert_eq!(it.review(TIMEOUT - 1, ME, &vv([]), 0), None);
        assert_eq!(it.review(TIMEOUT, ME, &vv([]), 0), Some(ReadyReason::Alone));
        let mut it = joining();
        it.peer_up(0, A); // up, and silent
        assert_eq!(it.review(TIMEOUT, ME, &vv([]), 0), Some(ReadyReason::Alone));
    }

    #[test]
    fn progress_puts_the_timeout_off_and_standstill_ends_the_wait() {
        let mut it = joining();
        it.peer_up(0, A);
        says(&mut it, A, [(A, 100)]);
        let mut now = 0;
        for seq in [10, 20, 30, 40] {
            now += TIMEOUT - 1;
            assert_eq!(it.review(now, ME, &vv([(A, seq)]), 0), None);
            assert_eq!(it.progress(ME, &vv([(A, seq)]), 0).percent, u8::try_from(seq).expect("small"));
        }
        assert_eq!(it.review(now + TIMEOUT - 1, ME, &vv([(A, 40)]), 0), None);
        assert_eq!(it.review(now + TIMEOUT, ME, &vv([(A, 40)]), 0), Some(ReadyReason::Unfinished { percent: 40 }));
    }

    #[test]
    fn fetching_buckets_is_progress_and_shows_in_percent() {
        let mut it = joining();
        it.peer_up(0, A);
        says(&mut it, A, [(A, 1_000_000)]);
        let here = vv([]);
        assert_eq!(it.review(1, ME, &here, 0), None);
        assert_eq!(it.review(TIMEOUT, ME, &here, BUCKETS / 2), None);
        assert_eq!(it.progress(ME, &here, BUCKETS / 2).percent, 50);
        assert_eq!(it.review(2 * TIMEOUT, ME, &here, BUCKETS / 2), Some(ReadyReason::Unfinished { percent: 50 }));
    }

    #[test]
    fn an_account_in_parts_counts_when_all_parts_are_here_in_whatever_order() {
        let mut it = joining();
        it.peer_up(0, A);
        let id = ReplicaId::new;
        it.heard(A, &(id(51)..=LAST), [(id(60), 7)].into_iter());
        assert_eq!(it.choose_asked(1), [(A, id(0)..=id(50))], "only what was not told");
        it.heard(A, &(id(0)..=id(20)), [(A, 1)].into_iter());
        it.heard(A, &(id(10)..=id(30)), [(A, 9), (id(25), 4)].into_iter()); // of A it has said enough
        assert_eq!(it.review(1, ME, &vv([(A, 1), (id(25), 4), (id(60), 7)]), 0), None);
        assert_eq!(it.choose_asked(TIMEOUT), [(A, id(31)..=id(50))]);
        it.heard(A, &(id(31)..=id(50)), [].into_iter());
        assert_eq!(it.review(1, ME, &vv([(A, 1), (id(25), 4)]), 0), None);
        let all = vv([(A, 1), (id(25), 4), (id(60), 7)]);
        assert_eq!(it.review(1, ME, &all, 0), Some(ReadyReason::CaughtUp { peer: A }));
    }

    #[test]
    fn an_account_in_too_many_pieces_is_not_kept_and_asked_for_again() {
        let mut account = Account::new();
        for n in 0..2 * RANGES_MAX as u64 {
            account.note(&(ReplicaId::new(10 * n)..=ReplicaId::new(10 * n)), [].into_iter());
        }
        assert_eq!(account.told.len(), RANGES_MAX);
        account.note(&(LAST..=ReplicaId::new(0)), [].into_iter()); // nonsense
        account.note(&ALL, [(A, 1)].into_iter());
        assert!(account.is_complete() && account.told.len() == 1);
    }

    #[test]
    fn of_many_peers_a_few_are_asked_at_once_and_the_others_when_these_have_answered() {
        let mut it = joining();
        let ids: Vec<ReplicaId> = (10..40).map(ReplicaId::new).collect();
        ids.iter().for_each(|id| it.peer_up(0, *id));
        it.peer_ready(ids[0], false);
        let asked = it.choose_asked(0);
        assert_eq!(asked.len(), ASKED_MAX);
        assert!(asked.iter().all(|(id, _)| *id != ids[0]), "those that are ready first");
        assert_eq!((it.choose_asked(1), it.due()), (Vec::new(), ASK_US));
        it.heard(asked[0].0, &ALL, [(A, 5)].into_iter());
        assert_eq!(it.choose_asked(2).len(), 1);
        let again = it.choose_asked(ASK_US);
        assert!(
            again.len() == ASKED_MAX - 1 && again.iter().all(|one| !asked.contains(one)),
            "those never asked first"
        );
    }

    #[test]
    fn what_takes_long_to_look_at_is_looked_at_again_after_a_rest() {
        let mut it = joining();
        it.peer_up(0, A);
        assert!(it.is_due_for_news(0) && it.is_due_for_news(0), "nothing is quickly looked at");
        it.heard(A, &ALL, (10..10_010).map(|id| (ReplicaId::new(id), 1)));
        assert_eq!(it.review(1_000, ME, &vv([]), 0), None);
        assert!(!it.is_due_for_news(1_001));
        assert_eq!(it.due(), 3_500);
        assert!(it.is_due_for_news(3_500));
        assert_eq!(it.review(3_500, ME, &vv([]), 0), None);
        assert!(it.due() > 6_000, "nothing has come since");
    }

    #[test]
    fn silent_peers_are_asked_again_more_and_more_rarely() {
        let mut it = joining();
        it.peer_up(0, A);
        let mut asked = Vec::new();
        for now in (0..4_000_000).step_by(10_000) {
            if !it.choose_asked(now).is_empty() {
                asked.push(now);
            }
        }
        assert_eq!(asked[..4], [0, 50_000, 150_000, 350_000]);
        assert!(asked.len() <= 9, "{asked:?}");
        says(&mut it, A, [(A, 1)]);
        assert_eq!(it.choose_asked(10_000_000), []);
        assert_eq!(it.due(), SETTLE.min(TIMEOUT));
    }

    #[test]
    fn what_is_told_of_the_own_id_is_not_waited_for() {
        let mut it = joining();
        it.peer_up(0, A);
        says(&mut it, A, [(ME, 5), (A, 1)]);
        assert_eq!(it.review(1, ME, &vv([(A, 1)]), 0), Some(ReadyReason::CaughtUp { peer: A }));
    }
}
