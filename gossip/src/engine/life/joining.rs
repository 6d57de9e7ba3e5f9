//! Whether a replica has caught up with the cluster it joins: whether it serves, and whether others may catch up with it.
//!
//! A joiner notes what each live peer says it has when it is first heard, and is *complete* once it has all of that: of the
//! peers that are complete themselves, or of every live peer. Of complete ones a few are enough, and one that does not
//! answer is not waited for; but what one of them has told is not made up for by another, which may be complete by mistake:
//! by an operator's word, or as a founder that was started again. The second rule is for clusters that start all at once: joiners
//! that have what each other had are equal, and no joiner waits for one that waits. It holds only after a moment without
//! new peers, once every seed has answered, and if no peer knows of data that it has not got itself: lest two fresh ones
//! that meet first, or while the one with the data is silent or gone, take each other for the whole cluster.
//!
//! A joiner does not keep its clients waiting for ever: after some time without progress it serves what it has. What
//! counts as progress is bounded (what was said at first does not grow), so that ends too. But serving is not having:
//! - One that was told of data it could not get is *incomplete*. It goes on catching up and is no source for others. That
//!   the peer who had the data is gone does not change this, for then the data is gone, too: only another complete peer
//!   does, or an operator's word ([`Replica::accept`]). So a cluster in which all gave up is told apart from a fresh one.
//!   That a peer knew of such data is remembered when the peer goes away, and passed on under the id of the one that knew
//!   it itself: else two that remember it of each other would do so for ever.
//! - One that was started without anybody to join *founds* a cluster, and serves at once; but after a restart it may be empty
//!   beside others that have the data. So it is complete only after it has listened for a moment, in which those that know
//!   its address call; and incomplete as soon as it meets a peer that is complete, until it has what that one has. It is
//!   like any other once it has what somebody has who became complete with it; or at once, if that one says that it was
//!   complete by what *it* had: one that crashes right after is owed nothing.
//! - One that nobody answered is *alone*. It knows of nothing that it lacks, and is incomplete as soon as it meets a
//!   complete peer, until it has what that one has.
//!
//! Refuses to know how anything is asked or fetched. Time and what is applied come in as arguments.

use std::collections::BTreeMap;

use std::ops::RangeInclusive;

use cahoots_crdt::{ReplicaId, VersionVector};

use crate::engine::repair::versions::ALL;
use crate::engine::{Event, Now, Replica};
use crate::store::BUCKETS;
use crate::wire::Message;

/// Before live peers that have not said all are asked again, in microseconds; doubled each time.
const ASK_US: u64 = 50_000;
const ASK_MOST_US: u64 = 1_000_000;
/// A peer that does not answer so many times may be silent for longer.
const ASKS_PATIENT: u32 = 2;
/// A joiner waits for so long, in microseconds, for a peer to say what its clock reads.
const CLOCK_WAIT_US: u64 = 2_000_000;
/// How many are asked at once: one that is ready is enough.
const ASKED_MAX: usize = 8;
/// So many entries of what is to be here cost a microsecond of rest between two looks at them: a tenth of the time that
/// looking takes at most.
const ENTRIES_PER_US: u64 = 4;
/// Separate ranges of ids remembered of one peer's account. What would need more is asked for again.
const RANGES_MAX: usize = 1024;
/// Peers remembered for what they had when they went away. Of more, those that are known stay: one is enough to be
/// incomplete.
const OWED_MAX: usize = 64;

/// What a replica is to those who join: whether they may serve once they have what it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Standing {
    /// It has what its cluster had when it joined: whoever catches up with it is complete as well.
    #[default]
    Complete,
    /// It serves, and has met nobody yet who could have told it what there is. It knows of nothing that it lacks.
    Alone,
    /// It has not met yet all whom it waits for, and knows of nothing yet that it lacks. It does not serve, unless it was
    /// started to be the first.
    Joining,
    /// It does not serve yet, and is catching up with data that it knows of.
    CatchingUp,
    /// It knows of data that it has not got, and goes on catching up. It may serve what it has.
    Incomplete,
}

impl Standing {
    /// Whether it has everything that it knows of, so that it can be relied on to keep it for others.
    #[must_use]
    pub fn is_whole(self) -> bool {
        matches!(self, Self::Complete | Self::Alone)
    }

    /// Whether it knows of data that it has not got.
    #[must_use]
    pub fn lacks(self) -> bool {
        matches!(self, Self::CatchingUp | Self::Incomplete)
    }

    /// As it is announced, and shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Alone => "alone",
            Self::Joining => "joining",
            Self::CatchingUp => "catching-up",
            Self::Incomplete => "incomplete",
        }
    }

    /// The opposite of [`Standing::name`].
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::Complete, Self::Alone, Self::Joining, Self::CatchingUp, Self::Incomplete];
        all.into_iter().find(|it| it.name() == name)
    }
}

/// Why a replica serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadyReason {
    /// It was started to be the first.
    First,
    /// It has everything that a peer which was complete had.
    CaughtUp {
        /// The peer.
        peer: ReplicaId,
    },
    /// It has everything that every live peer had; none of them was complete before, and none was incomplete.
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

/// Whether a replica serves. See [`Replica::standing`] for whether it has what its cluster has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It is catching up.
    Joining(Progress),
    /// It serves, for this reason.
    Ready(ReadyReason),
}

/// How a replica stands, as it tells its peers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stance {
    /// What it is to those who join.
    pub standing: Standing,
    /// Whether it is not complete, and somebody whom it waits for has not answered, who may have data that nobody else has:
    /// a seed, or whoever may call on one that was started without.
    pub awaits_seeds: bool,
    /// Who knew, when last heard, of data that it lacked itself: this replica, or others that went away from it.
    pub lacking: Vec<ReplicaId>,
    /// By what whose data it became complete, if it had met nobody else who was.
    pub joined: Option<ReplicaId>,
}

impl Readiness {
    /// Whether it serves.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self, Self::Ready(_))
    }
}

/// What a peer said it had when it was first heard. It may come in parts: range by range of ids, some of them by no more
/// than that they are equal here.
#[derive(Clone, Debug)]
struct Account {
    stance: Stance,
    /// It has said how it stands since it came up.
    has_said: bool,
    /// It was complete when it told some of this: so this is what there was, however it stands now.
    was_complete: bool,
    /// It was not complete when it came up and is since, and is not known to have anything that is not here.
    has_joined: bool,
    versions: VersionVector,
    /// The ranges of ids told of: apart from each other, by their first ids.
    told: BTreeMap<u64, u64>,
    /// How often it was asked, and when it will be asked again if it has not told all by then.
    asks: u32,
    ask_at: u64,
}

impl Account {
    fn new() -> Self {
        let (stance, has_said, was_complete, has_joined, versions, told) = Default::default();
        Self { stance, has_said, was_complete, has_joined, versions, told, asks: 0, ask_at: 0 }
    }

    /// Of one that is not here, and knew of data that it lacked.
    fn of_lacking() -> Self {
        Self { stance: Stance { standing: Standing::Incomplete, ..Stance::default() }, ..Self::new() }
    }

    /// Whether nothing is known of it but that it knew of data that it lacked.
    fn only_lacks(&self) -> bool {
        self.stance.standing.lacks() && !self.is_of_all()
    }

    fn is_complete_peer(&self) -> bool {
        self.stance.standing == Standing::Complete
    }

    /// Whether whoever has all of it is complete.
    fn is_of_all(&self) -> bool {
        self.is_complete_peer() || self.was_complete
    }

    /// Whether everything that was told of is here. What is told of the own id is no matter of catching up.
    fn is_met(&self, me: ReplicaId, here: &VersionVector) -> bool {
        self.is_whole() && self.versions.iter().all(|(id, seq)| id == me || here.get(id) >= seq)
    }

    /// Whether it may still tell what it has: it was not asked yet, or not long ago.
    fn is_awaited(&self, now: u64) -> bool {
        !self.is_whole() && (self.asks < ASKS_PATIENT || self.asks == ASKS_PATIENT && now < self.ask_at)
    }

    /// The first range of ids not told of.
    fn gap(&self) -> RangeInclusive<ReplicaId> {
        let first = self.told.get(&0).map_or(0, |last| last.saturating_add(1));
        let last = self.told.range(first..).next().map_or(u64::MAX, |(from, _)| from - 1);
        ReplicaId::new(first)..=ReplicaId::new(last)
    }

    /// Whether all ids are told of.
    fn is_whole(&self) -> bool {
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
        self.was_complete |= self.is_complete_peer();
    }
}

/// A joiner waits to hear what a peer's clock reads.
#[derive(Clone, Copy, Debug)]
struct ClockWait {
    /// No longer than that.
    until: u64,
    /// How often the peers were asked, and when they will be asked again: one that does not know this replica yet does not
    /// answer.
    asks: u32,
    ask_at: u64,
}

/// A replica that is not complete yet.
#[derive(Debug)]
pub(in crate::engine) struct Joining {
    timeout_us: u64,
    settle_us: u64,
    /// It serves all the same.
    serves: bool,
    /// It was started without anybody to join, and has met nobody yet who was complete before, or has joined it.
    founds: bool,
    /// It founds under an id that was never used before: whoever has joined that id has joined this process.
    is_fresh: bool,
    /// Who became complete by what was here, and by nothing else.
    joined_by: Option<ReplicaId>,
    /// It founds, and until then somebody may call who has the data.
    listens_until: Option<u64>,
    /// A seed has not answered yet: it may have data that nobody else has.
    awaits_seeds: bool,
    /// An operator has said that there is no more than what it and its live peers have.
    accepts: bool,
    /// No peer has said yet what its clock reads. It is waited for until then, once there is a peer: by a wrong clock the
    /// first thing that a complete replica did would be to remove what has not expired.
    clock_unheard: Option<ClockWait>,
    /// Live peers.
    peers: BTreeMap<ReplicaId, Account>,
    /// What peers had that went away before it was here; and those that lacked something when they went away, or when this
    /// replica gave up.
    owed: BTreeMap<ReplicaId, Account>,
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
            serves: false,
            founds: false,
            is_fresh: false,
            joined_by: None,
            listens_until: None,
            awaits_seeds: false,
            accepts: false,
            clock_unheard: Some(ClockWait { until: u64::MAX, asks: 0, ask_at: now }),
            peers: BTreeMap::new(),
            owed: BTreeMap::new(),
            goal: VersionVector::new(),
            changed_at: now,
            best: 0,
            progress_at: now,
            best_bytes: 0,
            reviewed_at: now,
            stale: false,
        }
    }

    /// A peer has come up. Until told otherwise it counts as complete.
    pub(in crate::engine) fn peer_up(&mut self, now: u64, id: ReplicaId) {
        // What a complete one had when it went away it has still, and what it told of that need not be told again. That one
        // which was incomplete is back says nothing of what it lacked.
        let owed = match self.owed.get(&id) {
            Some(account) if account.is_of_all() => self.owed.remove(&id),
            _ => None,
        };
        let account = owed.map(|it| Account { stance: Stance::default(), has_said: false, was_complete: true, ..it });
        self.peers.entry(id).or_insert_with(|| account.unwrap_or_else(Account::new));
        self.recount_goal();
        self.changed_at = now;
        if let Some(wait) = &mut self.clock_unheard {
            wait.until = wait.until.min(now.saturating_add(CLOCK_WAIT_US));
            wait.ask_at = now;
        }
    }

    /// Whether to ask peers now what their clocks read.
    fn asks_for_clocks(&mut self, now: u64) -> bool {
        let has_peers = !self.peers.is_empty();
        let Some(wait) = self.clock_unheard.as_mut().filter(|it| has_peers && now >= it.ask_at) else { return false };
        wait.ask_at = now + (ASK_US << wait.asks.min(10)).min(ASK_MOST_US);
        wait.asks += 1;
        true
    }

    /// A peer has said what its clock reads. Says whether that was waited for.
    pub(in crate::engine) fn hear_clock(&mut self) -> bool {
        let was_waited_for = self.clock_unheard.take().is_some();
        self.stale |= was_waited_for;
        was_waited_for
    }

    /// Begins as one that has nobody to join, and listens for so long whether somebody calls.
    fn founder(now: u64, is_fresh: bool, listen_us: u64, settle_us: u64) -> Self {
        let listens_until = Some(now.saturating_add(listen_us));
        let joining = Self::new(now, u64::MAX, settle_us);
        Self { serves: true, founds: true, is_fresh, listens_until, clock_unheard: None, ..joining }
    }

    /// Whether a founder has met nobody who is complete: it has nothing to ask anybody.
    fn is_first(&self) -> bool {
        self.founds && self.owed.is_empty() && !self.peers.values().any(Account::is_of_all)
    }

    /// Whether there is data that may not be here. Whoever became complete beside a founder has joined it, unless it says
    /// otherwise.
    fn knows_more(&self) -> bool {
        let has_more = |it: &Account| it.is_of_all() && !(self.founds && it.has_joined);
        !self.owed.is_empty() || self.peers.values().any(has_more)
    }

    /// A peer says how it stands.
    pub(in crate::engine) fn peer_stance(&mut self, id: ReplicaId, stance: Stance, me: ReplicaId) {
        // It has what it lacked, or has begun anew and tells what there is now.
        if !stance.lacking.contains(&id) && self.owed.get(&id).is_some_and(Account::only_lacks) {
            self.owed.remove(&id);
            self.recount_goal();
        }
        let Some(account) = self.peers.get_mut(&id) else { return };
        account.has_said = true;
        let has_joined_me = stance.standing == Standing::Complete && stance.joined == Some(me);
        let standing = stance.standing;
        let before = std::mem::replace(&mut account.stance, stance).standing;
        if standing == Standing::Complete && before != standing && !account.was_complete {
            // It had less when it said what it had: whoever has that has not caught up with it.
            let stance = std::mem::take(&mut account.stance);
            *account = Account { stance, has_said: true, has_joined: true, ..Account::new() };
            self.recount_goal();
        }
        if has_joined_me && self.is_fresh && self.owed.is_empty() && !self.has_met_others(me) {
            self.joined_by = Some(id);
        }
    }

    /// Whether somebody is there who was complete otherwise than by what is here.
    fn has_met_others(&self, me: ReplicaId) -> bool {
        self.peers.values().any(|it| it.is_of_all() && it.stance.joined != Some(me))
    }

    /// Whether a peer is the only one it has met that was complete.
    fn knows_only(&self, peer: ReplicaId) -> bool {
        self.peers.iter().chain(&self.owed).all(|(id, it)| *id == peer || !it.is_of_all())
    }

    /// A peer is down or gone: it is not waited for. What a complete one had is owed, by whoever has it; also if it was
    /// about to stop, or had been started again, and was therefore nothing to rely on any more. And what one had told of
    /// that served alone: for as long as it had met nobody, that was all there was. That one lacked something stays known:
    /// but not to a founder, whose own data that may have been.
    pub(in crate::engine) fn peer_down(&mut self, id: ReplicaId, me: ReplicaId, here: &VersionVector) {
        let founds = self.is_first();
        let Some(account) = self.peers.remove(&id) else { return };
        self.stale = true;
        if account.only_lacks() && !founds {
            self.owe_lacking(&account.stance.lacking, me);
            return self.recount_goal();
        }
        let tells_of_data = account.stance.standing == Standing::Alone && account.is_whole();
        if (account.is_of_all() || tells_of_data) && !account.is_met(me, here) {
            self.owe(id, account);
        }
        self.recount_goal();
    }

    fn owe(&mut self, id: ReplicaId, account: Account) {
        if self.owed.len() < OWED_MAX || self.owed.contains_key(&id) {
            self.owed.insert(id, account);
        }
    }

    /// Remembers who knew of data that it lacked, unless it is here and says that it does not any more.
    fn owe_lacking(&mut self, lacking: &[ReplicaId], me: ReplicaId) {
        for id in lacking.iter().filter(|id| **id != me) {
            let is_over = self.peers.get(id).is_some_and(|it| it.has_said && !it.stance.lacking.contains(id));
            if !is_over && !self.owed.contains_key(id) {
                self.owe(*id, Account::of_lacking());
            }
        }
    }

    /// Who knew, when last heard, of data that it lacked: this replica, or others.
    fn lacking(&self, me: ReplicaId) -> Vec<ReplicaId> {
        let knows_itself = self.peers.values().any(Account::is_of_all) || !self.owed.values().all(Account::only_lacks);
        let others = self.owed.iter().filter(|(_, it)| it.only_lacks()).map(|(id, _)| *id);
        knows_itself.then_some(me).filter(|_| !self.is_first()).into_iter().chain(others).collect()
    }

    fn recount_goal(&mut self) {
        self.goal = VersionVector::new();
        self.peers.values().chain(self.owed.values()).for_each(|account| self.goal.merge(&account.versions));
    }

    /// How the replica stands.
    fn standing(&self) -> Standing {
        match (self.serves, self.knows_more()) {
            (false, false) => Standing::Joining,
            (false, true) => Standing::CatchingUp,
            (true, true) => Standing::Incomplete,
            (true, false) if self.listens_until.is_some() => Standing::Joining,
            (true, false) if self.founds => Standing::Complete,
            (true, false) => Standing::Alone,
        }
    }

    /// An operator takes what is here for all there is, or for all that can be had of one peer.
    fn accept(&mut self, peer: Option<ReplicaId>) {
        match peer {
            Some(peer) => drop(self.owed.remove(&peer)),
            None => {
                self.owed.clear();
                (self.accepts, self.awaits_seeds, self.listens_until) = (true, false, None);
            }
        }
        self.recount_goal();
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
        // One that answers knows this replica by now.
        if let Some(wait) = self.clock_unheard.as_mut().filter(|it| it.asks == 1) {
            wait.ask_at = 0;
        }
    }

    /// A peer has the same as is here.
    pub(in crate::engine) fn agrees(&mut self, id: ReplicaId) {
        self.heard(id, &ALL, std::iter::empty());
    }

    /// Whom to ask now what they have, and of which ids: a few, those that are complete first.
    pub(in crate::engine) fn choose_asked(&mut self, now: u64) -> Vec<(ReplicaId, RangeInclusive<ReplicaId>)> {
        if self.is_first() {
            return Vec::new();
        }
        let silent = self.peers.iter_mut().filter(|(_, account)| !account.is_whole());
        let (waiting, mut due): (Vec<_>, Vec<_>) = silent.partition(|(_, it)| it.asks > 0 && now < it.ask_at);
        due.sort_by_key(|(_, account)| (!account.is_complete_peer(), account.asks));
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
        if self.is_first() {
            return self.listens_until.unwrap_or(u64::MAX);
        }
        if self.stale {
            return self.rests_until();
        }
        // Those never asked wait for one of these to answer, as do those that were to be asked again while others were.
        let asked = self.peers.values().filter(|account| account.asks > 0 && !account.is_whole());
        let ask = asked.map(|account| account.ask_at).filter(|at| *at > self.reviewed_at).min();
        let settled = (!self.peers.is_empty()).then_some(self.changed_at.saturating_add(self.settle_us));
        // Once it has settled, only news can help.
        let settled = settled.filter(|at| *at > self.reviewed_at);
        let gives_up = if self.serves { u64::MAX } else { self.gives_up_at() };
        let clock = self.clock_unheard.filter(|_| !self.peers.is_empty()).map(|it| it.until.min(it.ask_at));
        [ask, settled, clock, self.listens_until].into_iter().flatten().fold(gives_up, u64::min)
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

    /// Whether the replica serves now and did not before, or is complete now, given what is applied here: in all buckets,
    /// and how many buckets are ahead of that.
    pub(in crate::engine) fn review(
        &mut self,
        now: u64,
        me: ReplicaId,
        here: &VersionVector,
        ahead: usize,
    ) -> Option<ReadyReason> {
        (self.reviewed_at, self.stale) = (now, false);
        self.listens_until = self.listens_until.filter(|until| now < *until);
        if let Some(peer) = self.joined_by {
            return Some(ReadyReason::CaughtUp { peer });
        }
        if self.is_first() {
            return None;
        }
        self.clock_unheard = self.clock_unheard.filter(|it| now < it.until);
        let may_be_complete = self.clock_unheard.is_none() || self.peers.is_empty();
        if may_be_complete && let Some(peer) = self.caught_up_with(now, me, here) {
            return Some(ReadyReason::CaughtUp { peer });
        }
        self.peers.values_mut().for_each(|it| it.has_joined &= !it.is_whole() || it.is_met(me, here));
        let before = self.owed.len();
        self.owed.retain(|_, account| account.only_lacks() || !account.is_met(me, here));
        if self.owed.len() < before {
            self.recount_goal();
        }
        let settled = now >= self.changed_at.saturating_add(self.settle_us);
        let may_lack = |it: &Account| it.stance.standing.lacks() || it.stance.awaits_seeds;
        let is_equal = |it: &Account| (self.accepts || !may_lack(it)) && it.is_met(me, here);
        if settled
            && may_be_complete
            && !self.awaits_seeds
            && self.owed.is_empty()
            && !self.peers.is_empty()
            && self.peers.values().all(is_equal)
        {
            return Some(ReadyReason::Together);
        }
        let reached = self.reached(here, ahead);
        if reached > self.best {
            (self.best, self.progress_at, self.best_bytes) = (reached, now, 0);
        }
        if self.serves || now < self.gives_up_at() {
            return None;
        }
        Some(self.give_up(me, here, ahead))
    }

    /// A peer that is or was complete, of which everything is here that it told; if nothing is known of that another one which
    /// is live told, and none may tell more in a moment.
    fn caught_up_with(&self, now: u64, me: ReplicaId, here: &VersionVector) -> Option<ReplicaId> {
        let complete = || self.peers.values().filter(|it| it.is_of_all());
        let told = complete().filter(|it| it.is_whole()).count();
        let all_met = complete().all(|it| !it.is_whole() || it.is_met(me, here));
        if !all_met || (told < ASKED_MAX && complete().any(|it| it.is_awaited(now))) {
            return None;
        }
        let mut known = self.peers.iter().chain(&self.owed);
        known.find(|(_, account)| account.is_of_all() && account.is_met(me, here)).map(|(peer, _)| *peer)
    }

    /// Serves what is here. What was to be here stays owed, also when those who have it go away.
    fn give_up(&mut self, me: ReplicaId, here: &VersionVector, ahead: usize) -> ReadyReason {
        let percent = self.progress(me, here, ahead).percent;
        (self.serves, self.clock_unheard) = (true, None);
        let any_complete = self.peers.values().any(|account| account.is_complete_peer() && account.is_whole());
        // One that was complete is live, and owed as soon as it is not.
        let others = self.peers.iter().filter(|(_, it)| !it.is_of_all());
        let (lacking, others): (Vec<_>, Vec<_>) = others.partition(|(_, it)| it.only_lacks());
        let lacking: Vec<ReplicaId> = lacking.into_iter().flat_map(|(_, it)| it.stance.lacking.clone()).collect();
        let is_owed = |it: &Account| !any_complete && it.is_whole() && !it.is_met(me, here);
        let owed = others.into_iter().filter(|(_, it)| is_owed(it)).map(|(id, it)| (*id, it.clone()));
        for (id, account) in owed.collect::<Vec<_>>() {
            self.owe(id, account);
        }
        self.owe_lacking(&lacking, me);
        let heard = !self.owed.is_empty() || self.peers.values().any(Account::is_whole);
        if heard { ReadyReason::Unfinished { percent } } else { ReadyReason::Alone }
    }

    /// How far it is.
    pub(in crate::engine) fn progress(&self, me: ReplicaId, here: &VersionVector, ahead: usize) -> Progress {
        let (mut wanted, mut had) = (0, 0);
        for (id, seq) in self.goal.iter().filter(|(id, _)| *id != me) {
            wanted += u128::from(seq);
            had += u128::from(seq.min(here.get(id)));
        }
        let heard = self.peers.values().filter(|account| account.is_whole()).count();
        // By buckets nothing is applied in all of them before the last has come.
        let by_events = (had * 100).checked_div(wanted).unwrap_or(if heard > 0 { 100 } else { 0 });
        let by_buckets = (ahead * 100 / BUCKETS) as u128;
        let percent = u8::try_from(by_events.max(by_buckets).min(100)).expect("at most a hundred");
        Progress { percent, peers_heard: heard, peers_live: self.peers.len(), buckets: ahead }
    }

    /// A measure of progress: events of the goal that are here, peers heard, buckets fetched.
    fn reached(&self, here: &VersionVector, ahead: usize) -> u128 {
        let events: u128 = self.goal.iter().map(|(id, seq)| u128::from(seq.min(here.get(id)))).sum();
        let heard = self.peers.values().filter(|account| account.is_whole()).count();
        events + (heard + ahead) as u128
    }
}

impl Replica {
    /// Begins as one that joins a cluster: it does not serve before it has what the cluster has, or there was no progress
    /// for `timeout_us`. A replica for which this is not called serves, complete, from the start.
    pub fn join(&mut self, now: Now, timeout_us: u64) {
        self.joining = Some(Joining::new(now.mono, timeout_us, self.config.join_settle_us));
        self.ready = None;
    }

    /// Begins as one that has nobody to join: it serves, and is complete once it has listened for a moment
    /// ([`found_listen_us`](crate::engine::ReplicaConfig::found_listen_us)), unless it meets somebody who was before.
    pub fn found(&mut self, now: Now) {
        let is_fresh = !self.on_probation();
        let (listen_us, settle_us) = (self.config.found_listen_us, self.config.join_settle_us);
        self.joining = Some(Joining::founder(now.mono, is_fresh, listen_us, settle_us));
        self.ready = Some(ReadyReason::First);
    }

    /// Says whether a seed has not answered yet. Until all of all have, joiners do not take each other for the whole cluster;
    /// one that has caught up with a complete peer waits for no seed. An address that is the own one is no seed.
    pub fn await_seeds(&mut self, now: Now, silent: bool) {
        let Some(joining) = self.joining.as_mut().filter(|it| !it.accepts) else { return };
        if std::mem::replace(&mut joining.awaits_seeds, silent) && !silent {
            // Whoever has answered is a peer in a moment.
            joining.changed_at = now.mono;
            self.review_joining(now);
        }
    }

    /// Whether it is not complete, and a seed has not answered, as it was [told](Self::await_seeds).
    #[must_use]
    pub fn awaits_seeds(&self) -> bool {
        self.joining.as_ref().is_some_and(|it| it.awaits_seeds)
    }

    /// It is known that there is nobody to join: a replica that has met nobody serves at once, as it would after the timeout.
    pub fn nobody_to_join(&mut self, now: Now) {
        if let Some(joining) = self.joining.as_mut().filter(|it| it.peers.is_empty() && it.owed.is_empty()) {
            joining.timeout_us = 0;
            self.review_joining(now);
        }
    }

    /// Whether it serves.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.is_some()
    }

    /// Whether it serves, and why; or how far it is.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        self.ready.map_or_else(|| Readiness::Joining(self.progress()), Readiness::Ready)
    }

    /// How far it is with catching up with its cluster, which may go on while it serves.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let (here, ahead) = (self.store.version_vector(), self.store.buckets_ahead());
        let complete = || Progress { percent: 100, ..Progress::default() };
        self.joining.as_ref().map_or_else(complete, |joining| joining.progress(self.id(), here, ahead))
    }

    /// What it is to those who join.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.joining.as_ref().map_or(Standing::Complete, Joining::standing)
    }

    /// The peers that went away with data which this replica was told of and has not got.
    #[must_use]
    pub fn owed_by(&self) -> Vec<ReplicaId> {
        self.joining.iter().flat_map(|joining| joining.owed.keys().copied()).collect()
    }

    /// Takes what is here and at the live peers for all there is, or, given one, what is here for all that can be had of a
    /// peer that went away: for an operator who knows that the rest is lost. With the first this replica is complete as soon as
    /// it has what its live peers had, however they stand; and they are, as soon as they have what this one has.
    pub fn accept(&mut self, now: Now, peer: Option<ReplicaId>) {
        if let Some(joining) = &mut self.joining {
            joining.accept(peer);
            self.review_joining(now);
        }
    }

    /// How it stands, in full, for its peers.
    #[must_use]
    pub fn stance(&self) -> Stance {
        let listens = self.joining.as_ref().is_some_and(|it| it.listens_until.is_some());
        let (standing, awaits_seeds) = (self.standing(), self.awaits_seeds() || listens);
        let lacking = self.joining.as_ref().map(|joining| joining.lacking(self.id())).unwrap_or_default();
        Stance { standing, awaits_seeds, lacking, joined: self.joined }
    }

    /// A peer announces how it stands. One that announces nothing is complete.
    pub fn peer_stance(&mut self, now: Now, id: ReplicaId, stance: Stance) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.standing = stance.standing;
        }
        let Some(joining) = &mut self.joining else { return };
        joining.peer_stance(id, stance, self.store.id());
        self.review_joining(now);
    }

    /// A peer has come up: a joiner wants to know what it has, in full. Says whether it is one.
    pub(in crate::engine) fn expect_account(&mut self, now: Now, id: ReplicaId) -> bool {
        let Some(joining) = &mut self.joining else { return false };
        joining.peer_up(now.mono, id);
        self.review_joining(now);
        true
    }

    /// A peer is down or gone.
    pub(in crate::engine) fn expect_no_account(&mut self, id: ReplicaId) {
        let me = self.id();
        if let Some(joining) = &mut self.joining {
            joining.peer_down(id, me, self.store.version_vector()); // looked at as soon as time passes
        }
    }

    /// Something has come, or time has passed: looks whether it is complete, now or soon.
    pub(in crate::engine) fn consider_joining(&mut self, now: Now) {
        if self.joining.as_mut().is_some_and(|it| it.is_due_for_news(now.mono)) {
            self.review_joining(now);
        }
    }

    /// Looks whether it serves now or is complete, and asks whoever has to be asked.
    pub(in crate::engine) fn review_joining(&mut self, now: Now) {
        let Some(joining) = self.joining.as_mut().filter(|_| !self.conflicted) else { return };
        let (here, ahead) = (self.store.version_vector(), self.store.buckets_ahead());
        let before = joining.standing();
        if let Some(reason) = joining.review(now.mono, self.store.id(), here, ahead) {
            match reason {
                ReadyReason::CaughtUp { peer } => {
                    self.joined = (joining.knows_only(peer) && joining.joined_by.is_none()).then_some(peer);
                    self.joining = None;
                }
                ReadyReason::Together => self.joining = None,
                _ => {}
            }
            // That somebody has joined a founder is no news.
            if before != Standing::Complete {
                self.ready = Some(reason);
                self.emit(Event::Ready { reason });
            }
        }
        let Some(joining) = &mut self.joining else { return };
        let clocks_of = if joining.asks_for_clocks(now.mono) { ASKED_MAX } else { 0 };
        let clocks_of: Vec<ReplicaId> = joining.peers.keys().take(clocks_of).copied().collect();
        let asked = joining.choose_asked(now.mono);
        clocks_of.into_iter().for_each(|peer| self.tell(peer, &Message::AskClock));
        for (peer, ids) in asked {
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
    const LISTEN: u64 = 1_500_000;

    fn vv<const N: usize>(entries: [(ReplicaId, u64); N]) -> VersionVector {
        entries.into_iter().collect()
    }

    fn joining() -> Joining {
        Joining { clock_unheard: None, ..Joining::new(0, TIMEOUT, SETTLE) }
    }

    fn says<const N: usize>(joining: &mut Joining, peer: ReplicaId, entries: [(ReplicaId, u64); N]) {
        joining.heard(peer, &ALL, entries.into_iter());
    }

    /// One that lacks something knows so itself.
    fn stands(joining: &mut Joining, peer: ReplicaId, standing: Standing) {
        let lacking = if standing.lacks() { vec![peer] } else { vec![] };
        joining.peer_stance(peer, Stance { standing, lacking, ..Stance::default() }, ME);
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
        says(&mut it, A, [(A, 10), (B, 3)]);
        says(&mut it, A, [(A, 99)]); // later ones do not count
        assert_eq!(it.review(1, ME, &vv([(A, 10), (B, 2)]), 0), None);
        assert_eq!(it.review(1, ME, &vv([(A, 10), (B, 3)]), 0), Some(ReadyReason::CaughtUp { peer: A }));
    }

    /// One that is complete by mistake has less, and may be heard first.
    #[test]
    fn what_one_complete_peer_has_told_is_not_made_up_for_by_another_that_is_there_and_has_less() {
        let mut it = joining();
        for peer in [A, B] {
            it.peer_up(0, peer);
        }
        assert_eq!(it.choose_asked(0).len(), 2);
        says(&mut it, B, [(B, 1)]);
        let some = vv([(B, 1)]);
        assert_eq!(it.review(1, ME, &some, 0), None, "A may answer in a moment");
        says(&mut it, A, [(A, 10), (B, 1)]);
        assert_eq!((it.review(2, ME, &some, 0), it.standing()), (None, Standing::CatchingUp));
        let mut gone = Joining { clock_unheard: None, peers: it.peers.clone(), ..Joining::new(0, TIMEOUT, SETTLE) };
        assert_eq!(it.review(3, ME, &vv([(A, 10), (B, 1)]), 0), Some(ReadyReason::CaughtUp { peer: A }));
        // What it had goes with it: of the writes of one that crashes, some may be nowhere else.
        gone.peer_down(A, ME, &some);
        assert_eq!(gone.review(3, ME, &some, 0), Some(ReadyReason::CaughtUp { peer: B }));
    }

    #[test]
    fn a_complete_peer_that_does_not_answer_is_not_waited_for_if_another_does() {
        let mut it = joining();
        for peer in [A, B] {
            it.peer_up(0, peer);
        }
        it.choose_asked(0);
        says(&mut it, A, [(A, 1)]);
        let (here, mut now) = (vv([(A, 1)]), 0);
        while it.review(now, ME, &here, 0).is_none() {
            it.choose_asked(now);
            now = it.due();
        }
        assert_eq!(now, 3 * ASK_US);
        // Nor are all of many.
        let mut it = joining();
        (10..60).for_each(|id| it.peer_up(0, ReplicaId::new(id)));
        for (peer, _) in it.choose_asked(0) {
            assert_eq!(it.review(0, ME, &here, 0), None);
            says(&mut it, peer, [(A, 1)]);
        }
        assert!(matches!(it.review(0, ME, &here, 0), Some(ReadyReason::CaughtUp { .. })));
    }

    #[test]
    fn of_peers_that_are_not_ready_all_are_waited_for_and_a_moment_for_others() {
        let mut it = joining();
        for peer in [A, B] {
            it.peer_up(10, peer);
            stands(&mut it, peer, Standing::Joining);
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
            stands(it, peer, Standing::Joining);
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
            stands(&mut it, peer, Standing::Joining);
        }
        says(&mut it, A, []);
        says(&mut it, B, [(B, 9)]);
        assert_eq!(it.review(SETTLE, ME, &vv([]), 0), None);
        stands(&mut it, A, Standing::Complete);
        assert_eq!(it.review(SETTLE, ME, &vv([]), 0), None, "it has more than when it was joining itself");
        says(&mut it, A, []);
        assert_eq!(it.review(SETTLE, ME, &vv([]), 0), Some(ReadyReason::CaughtUp { peer: A }));
        let mut it = joining();
        for peer in [A, B] {
            it.peer_up(0, peer);
            stands(&mut it, peer, Standing::Joining);
        }
        says(&mut it, A, []);
        it.peer_down(B, ME, &vv([]));
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
        assert!(account.is_whole() && account.told.len() == 1);
    }

    #[test]
    fn of_many_peers_a_few_are_asked_at_once_and_the_others_when_these_have_answered() {
        let mut it = joining();
        let ids: Vec<ReplicaId> = (10..40).map(ReplicaId::new).collect();
        ids.iter().for_each(|id| it.peer_up(0, *id));
        stands(&mut it, ids[0], Standing::Joining);
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

    #[test]
    fn whoever_gave_up_is_complete_only_once_it_has_what_it_was_told_of() {
        let mut it = joining();
        it.peer_up(0, A);
        says(&mut it, A, [(A, 10), (B, 3)]);
        assert_eq!(it.standing(), Standing::CatchingUp);
        let some = vv([(A, 4)]);
        assert_eq!(it.review(0, ME, &some, 0), None);
        assert_eq!(it.review(TIMEOUT, ME, &some, 0), Some(ReadyReason::Unfinished { percent: 30 }));
        assert_eq!(it.standing(), Standing::Incomplete);
        // That the one with the data is gone, or that another fresh one comes, does not make it complete.
        it.peer_down(A, ME, &vv([(A, 4)]));
        it.peer_up(TIMEOUT, B);
        stands(&mut it, B, Standing::Joining);
        says(&mut it, B, []);
        let later = TIMEOUT + SETTLE;
        assert_eq!((it.review(later, ME, &vv([(A, 4)]), 0), it.standing()), (None, Standing::Incomplete));
        // The data may come by whatever way.
        let here = vv([(A, 10), (B, 3)]);
        assert_eq!(it.review(later, ME, &here, 0), Some(ReadyReason::CaughtUp { peer: A }));
    }

    #[test]
    fn whoever_met_only_those_that_gave_up_is_no_more_complete_than_they_are() {
        let mut it = joining();
        it.peer_up(0, A);
        stands(&mut it, A, Standing::Incomplete);
        says(&mut it, A, []);
        assert_eq!(it.review(0, ME, &vv([]), 0), None);
        assert_eq!(it.review(SETTLE, ME, &vv([]), 0), None);
        assert_eq!(it.review(TIMEOUT, ME, &vv([]), 0), Some(ReadyReason::Unfinished { percent: 100 }));
        assert_eq!(it.standing(), Standing::Incomplete);
        it.peer_down(A, ME, &vv([]));
        assert_eq!((it.review(2 * TIMEOUT, ME, &vv([]), 0), it.standing()), (None, Standing::Incomplete));
        // An operator takes what is here for all there is.
        it.accept(None);
        assert_eq!((it.review(2 * TIMEOUT, ME, &vv([]), 0), it.standing()), (None, Standing::Alone));
        // What others wait for or lack does not matter any more, what they have does.
        for (peer, standing) in [(B, Standing::Joining), (A, Standing::Incomplete)] {
            it.peer_up(2 * TIMEOUT, peer);
            it.peer_stance(
                peer,
                Stance { standing, awaits_seeds: true, lacking: vec![ReplicaId::new(9)], joined: None },
                ME,
            );
        }
        says(&mut it, B, []);
        says(&mut it, A, [(A, 2)]);
        assert_eq!(it.review(3 * TIMEOUT, ME, &vv([(A, 1)]), 0), None);
        assert_eq!(it.review(3 * TIMEOUT, ME, &vv([(A, 2)]), 0), Some(ReadyReason::Together));
    }

    #[test]
    fn one_that_serves_alone_is_incomplete_from_when_it_meets_a_complete_peer_until_it_has_caught_up() {
        let mut it = joining();
        assert_eq!(it.review(TIMEOUT, ME, &vv([]), 0), Some(ReadyReason::Alone));
        assert_eq!(it.standing(), Standing::Alone);
        it.peer_up(TIMEOUT, A);
        assert_eq!((it.review(TIMEOUT, ME, &vv([]), 0), it.standing()), (None, Standing::Incomplete));
        // It restarts before it has said what it had: nobody knows what that was.
        it.peer_down(A, ME, &vv([]));
        assert_eq!((it.review(TIMEOUT, ME, &vv([]), 0), it.standing()), (None, Standing::Incomplete));
        it.peer_up(TIMEOUT, A);
        says(&mut it, A, [(A, 1)]);
        assert_eq!((it.review(TIMEOUT, ME, &vv([]), 0), it.due()), (None, TIMEOUT + SETTLE));
        assert_eq!(it.review(TIMEOUT, ME, &vv([(A, 1)]), 0), Some(ReadyReason::CaughtUp { peer: A }));
    }

    /// The one with the data is gone; a fresh one comes, and has what they all have in no time.
    #[test]
    fn joiners_that_know_of_more_than_they_have_are_no_cluster_to_be_complete_with() {
        let mut it = joining();
        for peer in [A, B] {
            it.peer_up(0, peer);
            stands(&mut it, peer, Standing::CatchingUp);
            says(&mut it, peer, [(A, 4)]);
        }
        let here = vv([(A, 4)]);
        assert_eq!((it.review(SETTLE, ME, &here, 0), it.standing()), (None, Standing::Joining));
        // One of them goes away, and with it all that it knew.
        it.peer_down(B, ME, &here);
        assert_eq!((it.review(2 * SETTLE, ME, &here, 0), it.standing()), (None, Standing::CatchingUp));
        stands(&mut it, A, Standing::Joining);
        assert_eq!(it.review(3 * SETTLE, ME, &here, 0), None);
        it.accept(Some(B));
        assert_eq!(it.review(3 * SETTLE, ME, &here, 0), Some(ReadyReason::Together));
    }

    /// Two went away from each other while each knew that the other lacked something, and what that was has come since.
    #[test]
    fn that_one_lacks_only_what_the_other_lacked_is_no_reason_for_either_to_lack_anything() {
        let mut it = joining();
        it.peer_up(0, A);
        stands(&mut it, A, Standing::CatchingUp);
        it.peer_down(A, ME, &vv([]));
        assert_eq!((it.standing(), it.lacking(ME)), (Standing::CatchingUp, vec![A]));
        // It is back, and has what it lacked; but it remembers the same of this one, and of a third.
        let lacks = |lacking| Stance { standing: Standing::Incomplete, lacking, ..Stance::default() };
        it.peer_up(0, A);
        it.peer_stance(A, lacks(vec![ME, B]), ME);
        says(&mut it, A, []);
        assert_eq!((it.standing(), it.lacking(ME)), (Standing::Joining, vec![]));
        assert_eq!(it.review(SETTLE, ME, &vv([]), 0), None, "it has not heard yet that this one lacks nothing");
        // If it goes away, what it knew of the third is remembered under that one's name, unless that is here.
        it.peer_down(A, ME, &vv([]));
        assert_eq!(it.lacking(ME), [B]);
        it.peer_up(0, B);
        stands(&mut it, B, Standing::Joining);
        says(&mut it, B, []);
        it.peer_up(0, A);
        it.peer_stance(A, lacks(vec![B]), ME);
        says(&mut it, A, []);
        it.peer_down(A, ME, &vv([]));
        assert_eq!(it.lacking(ME), [], "it is here, and says otherwise");
        assert_eq!(it.review(2 * SETTLE, ME, &vv([]), 0), Some(ReadyReason::Together));
    }

    #[test]
    fn nobody_is_complete_before_a_peer_has_said_what_its_clock_reads() {
        let mut it = Joining::new(0, TIMEOUT, SETTLE);
        it.peer_up(10, A);
        let here = vv([(A, 1)]);
        assert!(it.asks_for_clocks(20) && !it.asks_for_clocks(20));
        says(&mut it, A, [(A, 1)]);
        assert!(it.asks_for_clocks(20) && !it.asks_for_clocks(20), "now it is known there");
        says(&mut it, A, []);
        assert_eq!((it.review(21, ME, &here, 0), it.due()), (None, 20 + 2 * ASK_US));
        assert!(it.asks_for_clocks(10 + SETTLE), "it may not have been known there yet");
        assert_eq!((it.review(10 + SETTLE, ME, &here, 0), it.due()), (None, 10 + SETTLE + 4 * ASK_US));
        let mut silent = it.peers.clone();
        assert!(it.hear_clock() && !it.hear_clock() && it.is_due_for_news(11 + SETTLE));
        assert_eq!(it.review(11 + SETTLE, ME, &here, 0), Some(ReadyReason::CaughtUp { peer: A }));
        // One that never says so is not waited for forever.
        let mut it = Joining::new(0, TIMEOUT, SETTLE);
        it.peer_up(10, A);
        it.peers.append(&mut silent);
        assert_eq!(it.review(10 + CLOCK_WAIT_US, ME, &here, 0), Some(ReadyReason::CaughtUp { peer: A }));
    }

    /// What it catches up with is the founder's own.
    #[test]
    fn that_one_which_was_catching_up_with_it_goes_away_makes_no_founder_incomplete() {
        let mut it = Joining::founder(0, true, 0, SETTLE);
        it.review(0, ME, &vv([]), 0);
        it.peer_up(0, A);
        stands(&mut it, A, Standing::CatchingUp);
        it.peer_down(A, ME, &vv([(ME, 9)]));
        assert_eq!(it.standing(), Standing::Complete);
    }

    #[test]
    fn joiners_are_not_complete_together_while_a_seed_is_silent() {
        let mut it = joining();
        it.awaits_seeds = true;
        it.peer_up(0, A);
        stands(&mut it, A, Standing::Joining);
        says(&mut it, A, []);
        assert_eq!(it.review(SETTLE, ME, &vv([]), 0), None);
        assert_eq!(it.review(SETTLE + TIMEOUT, ME, &vv([]), 0), Some(ReadyReason::Unfinished { percent: 100 }));
        assert_eq!(it.standing(), Standing::Alone, "it knows of nothing that it lacks, and is no cluster");
        assert_eq!(it.review(2 * TIMEOUT, ME, &vv([]), 0), None);
        it.awaits_seeds = false;
        it.peer_stance(A, Stance { standing: Standing::Joining, awaits_seeds: true, ..Stance::default() }, ME);
        assert_eq!(it.review(2 * TIMEOUT, ME, &vv([]), 0), None, "a seed of its peer is silent");
        it.peer_stance(A, Stance { standing: Standing::Joining, awaits_seeds: false, ..Stance::default() }, ME);
        assert_eq!(it.review(2 * TIMEOUT, ME, &vv([]), 0), Some(ReadyReason::Together));
    }

    #[test]
    fn that_an_incomplete_peer_is_back_completes_nobody() {
        let mut it = joining();
        it.peer_up(0, A);
        stands(&mut it, A, Standing::Incomplete);
        says(&mut it, A, []);
        assert_eq!(it.review(0, ME, &vv([]), 0), None);
        assert_eq!(it.review(TIMEOUT, ME, &vv([]), 0), Some(ReadyReason::Unfinished { percent: 100 }));
        for _ in 0..2 {
            it.peer_down(A, ME, &vv([]));
            it.peer_up(TIMEOUT, A);
            stands(&mut it, A, Standing::Incomplete);
            assert_eq!((it.review(TIMEOUT, ME, &vv([]), 0), it.standing()), (None, Standing::Incomplete));
        }
        // It has got what it was owed.
        stands(&mut it, A, Standing::Alone);
        says(&mut it, A, [(A, 1)]);
        assert_eq!((it.review(TIMEOUT, ME, &vv([]), 0), it.standing()), (None, Standing::Alone));
        assert_eq!(it.review(2 * TIMEOUT, ME, &vv([(A, 1)]), 0), Some(ReadyReason::Together));
    }

    /// It stops, and lingers; or it goes on from its disk under the same id.
    #[test]
    fn what_a_complete_peer_told_of_is_owed_however_it_stands_when_it_goes_away() {
        for gives_up in [true, false] {
            let mut it = joining();
            it.peer_up(0, A);
            says(&mut it, A, [(A, 10)]);
            assert_eq!(it.review(0, ME, &vv([]), 0), None);
            if gives_up {
                assert_eq!(it.review(TIMEOUT, ME, &vv([]), 0), Some(ReadyReason::Unfinished { percent: 0 }));
            }
            stands(&mut it, A, Standing::Joining);
            assert_eq!(it.standing(), if gives_up { Standing::Incomplete } else { Standing::CatchingUp });
            it.peer_down(A, ME, &vv([]));
            it.review(2 * TIMEOUT, ME, &vv([]), 0);
            assert_eq!(it.standing(), Standing::Incomplete);
            // It is back, and may be down again before it has given what it has.
            it.peer_up(2 * TIMEOUT, A);
            stands(&mut it, A, Standing::Joining);
            assert_eq!((it.review(3 * TIMEOUT, ME, &vv([]), 0), it.standing()), (None, Standing::Incomplete));
            it.peer_down(A, ME, &vv([]));
            assert_eq!((it.review(3 * TIMEOUT, ME, &vv([]), 0), it.standing()), (None, Standing::Incomplete));
            let here = vv([(A, 10)]);
            assert_eq!(it.review(3 * TIMEOUT, ME, &here, 0), Some(ReadyReason::CaughtUp { peer: A }));
        }
    }

    #[test]
    fn what_one_that_served_alone_had_told_of_is_owed_when_it_goes_away_until_it_is_here() {
        let mut it = joining();
        it.peer_up(0, A);
        stands(&mut it, A, Standing::Alone);
        it.peer_down(A, ME, &vv([]));
        assert!(it.owed.is_empty(), "nothing is known of it");
        it.peer_up(0, A);
        stands(&mut it, A, Standing::Alone);
        says(&mut it, A, [(A, 10)]);
        it.peer_down(A, ME, &vv([(A, 9)]));
        assert_eq!(it.review(SETTLE, ME, &vv([(A, 9)]), 0), None);
        assert!(it.review(2 * TIMEOUT, ME, &vv([(A, 9)]), 0).is_some());
        assert_eq!(it.standing(), Standing::Incomplete);
        // Another has it, from its disk.
        it.peer_up(2 * TIMEOUT, B);
        stands(&mut it, B, Standing::Joining);
        says(&mut it, B, [(A, 10)]);
        assert_eq!(it.review(3 * TIMEOUT, ME, &vv([(A, 9)]), 0), None);
        assert_eq!(it.review(3 * TIMEOUT, ME, &vv([(A, 10)]), 0), Some(ReadyReason::Together));
    }

    /// Under the same id it has all that it had: what it was not asked for in time it can still tell.
    #[test]
    fn a_complete_peer_that_went_away_silently_and_is_back_from_its_disk_is_enough() {
        let mut it = joining();
        it.peer_up(0, A);
        it.peer_down(A, ME, &vv([]));
        assert_eq!(it.review(TIMEOUT, ME, &vv([]), 0), Some(ReadyReason::Unfinished { percent: 0 }));
        it.peer_up(TIMEOUT, A);
        stands(&mut it, A, Standing::Joining);
        assert_eq!((it.review(TIMEOUT, ME, &vv([]), 0), it.standing()), (None, Standing::Incomplete));
        says(&mut it, A, [(A, 1)]);
        assert_eq!((it.review(TIMEOUT, ME, &vv([]), 0), it.standing()), (None, Standing::Incomplete));
        assert_eq!(it.review(TIMEOUT, ME, &vv([(A, 1)]), 0), Some(ReadyReason::CaughtUp { peer: A }));
    }

    #[test]
    fn what_joiners_had_that_went_away_is_not_owed_and_what_complete_peers_had_is() {
        let mut it = joining();
        for peer in [A, B] {
            it.peer_up(0, peer);
            stands(&mut it, peer, if peer == B { Standing::Joining } else { Standing::Complete });
            says(&mut it, peer, [(peer, 1)]);
        }
        it.peer_down(B, ME, &vv([]));
        assert!(it.owed.is_empty());
        it.peer_down(A, ME, &vv([]));
        assert_eq!(it.owed.keys().collect::<Vec<_>>(), [&A]);
        for peer in (10..).map(ReplicaId::new).take(2 * OWED_MAX) {
            it.peer_up(0, peer);
            it.peer_down(peer, ME, &vv([]));
        }
        assert_eq!(it.owed.len(), OWED_MAX);
    }

    #[test]
    fn a_founder_is_complete_until_it_meets_one_that_was_before_and_for_good_once_it_is_joined() {
        let mut it = Joining::founder(0, true, LISTEN, SETTLE);
        assert_eq!((it.standing(), it.due(), it.review(LISTEN - 1, ME, &vv([]), 0)), (Standing::Joining, LISTEN, None));
        assert_eq!((it.review(LISTEN, ME, &vv([]), 0), it.standing(), it.due()), (None, Standing::Complete, u64::MAX));
        it.peer_up(0, B);
        stands(&mut it, B, Standing::Joining);
        assert_eq!((it.standing(), it.choose_asked(0)), (Standing::Complete, vec![]));
        it.peer_up(0, A);
        assert_eq!(it.standing(), Standing::Incomplete);
        says(&mut it, A, [(A, 1)]);
        assert_eq!(it.review(0, ME, &vv([]), 0), None);
        assert_eq!(it.review(0, ME, &vv([(A, 1)]), 0), Some(ReadyReason::CaughtUp { peer: A }));
    }

    #[test]
    fn a_founder_that_meets_a_complete_peer_while_it_listens_has_not_got_what_that_one_has() {
        let mut it = Joining::founder(0, true, LISTEN, SETTLE);
        it.peer_up(1, A);
        assert_eq!((it.review(1, ME, &vv([]), 0), it.standing()), (None, Standing::Incomplete));
        assert_eq!(it.choose_asked(1).len(), 1);
        says(&mut it, A, [(A, 1)]);
        assert_eq!((it.review(LISTEN, ME, &vv([]), 0), it.standing()), (None, Standing::Incomplete));
        assert_eq!(it.review(LISTEN, ME, &vv([(A, 1)]), 0), Some(ReadyReason::CaughtUp { peer: A }));
    }

    /// It may have become complete by one that the founder has not met.
    #[test]
    fn whoever_becomes_complete_beside_a_founder_has_joined_it_unless_it_has_more() {
        for has in [vv([]), vv([(B, 1)])] {
            let mut it = Joining::founder(0, true, 0, SETTLE);
            it.review(0, ME, &vv([]), 0);
            it.peer_up(0, A);
            stands(&mut it, A, Standing::Joining);
            stands(&mut it, A, Standing::Complete);
            assert_eq!((it.review(0, ME, &vv([]), 0), it.standing()), (None, Standing::Complete));
            assert_eq!(it.choose_asked(0), [(A, ALL)]);
            it.heard(A, &ALL, has.iter());
            let joined = has.is_empty().then_some(ReadyReason::CaughtUp { peer: A });
            let standing = if has.is_empty() { Standing::Complete } else { Standing::Incomplete };
            assert_eq!((it.review(0, ME, &vv([]), 0), it.standing()), (joined, standing));
            assert_eq!(it.review(0, ME, &vv([(B, 1)]), 0), Some(ReadyReason::CaughtUp { peer: A }));
        }
    }

    /// It writes, and is dead before it has told of that; nor need anybody have heard of it before it was complete.
    #[test]
    fn a_founder_lacks_nothing_of_what_one_had_that_says_it_has_joined_it_and_nobody_else() {
        let joined = |founder| Stance { joined: Some(founder), ..Stance::default() };
        for (is_fresh, met, expected) in [
            (true, vec![(A, joined(ME))], Some(ReadyReason::CaughtUp { peer: A })),
            (true, vec![(A, joined(ME)), (B, joined(ME))], Some(ReadyReason::CaughtUp { peer: B })),
            (true, vec![(A, joined(B))], None),
            (true, vec![(A, Stance::default())], None),
            // It has found another one complete, which may have been complete otherwise.
            (true, vec![(B, Stance::default()), (A, joined(ME))], None),
            // It goes on from its disk: since it stopped there may have been more.
            (false, vec![(A, joined(ME))], None),
        ] {
            let mut it = Joining::founder(0, is_fresh, 0, SETTLE);
            it.review(0, ME, &vv([]), 0);
            for (peer, stance) in met.clone() {
                it.peer_up(0, peer);
                it.peer_stance(peer, stance, ME);
            }
            assert_eq!(it.review(0, ME, &vv([]), 0), expected, "{met:?}");
            it.peer_down(A, ME, &vv([]));
            assert!(expected.is_some() || it.standing() == Standing::Incomplete, "{met:?}");
        }
    }

    #[test]
    fn who_has_met_one_complete_peer_only_says_that_it_has_joined_it() {
        let start = Now { mono: 0, wall: 1_700_000_000_000 };
        for others in [0, 1] {
            let mut replica = Replica::new(crate::engine::ReplicaConfig::default(), ME, start);
            replica.join(start, TIMEOUT);
            for peer in [A, B].into_iter().take(1 + others) {
                replica.peer_up(start, peer, ([127, 0, 0, 1], 2).into(), crate::Zone::default());
                replica.on_clock(start, peer, start.wall);
                let joining = replica.joining.as_mut().expect("it joins");
                joining.agrees(peer);
                // Its account of all is not the last to come.
                joining.stale = false;
            }
            replica.review_joining(start);
            let joined = (others == 0).then_some(A);
            assert_eq!(replica.stance(), Stance { joined, ..Stance::default() });
        }
    }
}
