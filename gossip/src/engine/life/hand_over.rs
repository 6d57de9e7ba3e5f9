//! Handing over before a stop: whether everything that is held here is held by others, too.
//!
//! What counts is all data here, whoever wrote it: of a writer that is gone, this replica may be the last to hold what it
//! wrote. And only peers count that are whole ([`Standing::is_whole`](crate::engine::Standing::is_whole)) and stay: one that
//! is catching up may have to be stopped itself, and of those that stop together each could rely on the others.
//!
//! What each peer is known to have is worked out against a *target*: what was here when the hand-over began. It is
//! confirmed by the accounts that version vectors are compared with, range by range of origins, so a peer that was left
//! out by a lost datagram is asked again. For own events acknowledgements tell, up to where they had come when the hand-over
//! began: they may go on being written, and one that is begun again includes them.
//!
//! Whether a peer stays is for the peer to say, *after* it has everything and after this replica has begun to stop: so it
//! is asked, under a number that no older answer bears. A peer that says so hands over itself, should it stop later, and
//! what it then hands over includes this. No two can rely on each other: each would have had to answer before it began to
//! stop, and to ask after that.
//!
//! Refuses to know how a peer gets what it lacks: comparing version vectors makes it ask.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use cahoots_crdt::{ReplicaId, VersionVector};

use crate::engine::{Now, Replica};
use crate::wire::{Message, Staying};

/// Between two questions to a peer that lacks something, in microseconds: several round trips of a wide network.
const ASK_US: u64 = 100_000;
/// Peers whose vectors are compared at a time. They confirm each for all, mostly; the next is asked when one of these has
/// everything.
const COMPARED_MAX: usize = 16;
/// Peers asked at a time whether they stay.
const ASKED_MAX: usize = 64;

/// A hand-over under way.
#[derive(Debug)]
pub(in crate::engine) struct HandOver {
    /// What was here when it began, of others; in any bucket.
    target: VersionVector,
    /// Own events when it was begun last.
    own: u64,
    /// Live peers.
    receivers: BTreeMap<ReplicaId, Receiver>,
    compare_at: u64,
}

/// What is known of one peer.
#[derive(Debug, Default)]
struct Receiver {
    /// The origins of which it is not known to have what is in the target; `None`: its vector was not asked for yet.
    lacking: Option<BTreeSet<ReplicaId>>,
    question: Option<Question>,
    /// What it answered to the last question that it answered.
    word: Option<Word>,
}

/// Whether it stays, as it was asked.
#[derive(Clone, Copy, Debug)]
struct Question {
    number: u64,
    /// Own events up to here, and all of the target, it had then; `None`: it was not known to have all.
    has: Option<u64>,
    asked_at: u64,
}

/// What a peer says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// It stays, and keeps all of the target and own events up to here; `None`: it was not known to have all when asked.
    Stays(Option<u64>),
    /// It stays, and may lack what its cluster has.
    Lacks,
    /// It stops, too. That is final.
    Stops,
}

impl Receiver {
    fn has_target(&self) -> bool {
        self.lacking.as_ref().is_some_and(BTreeSet::is_empty)
    }

    /// It can be relied on for all of the target, and own events up to this one.
    fn keeps(&self, own: u64) -> bool {
        matches!(self.word, Some(Word::Stays(Some(upto))) if upto >= own)
    }

    /// The number of the question to be put to it now, if there is one. `acked`: own events that it has. Asked again, a
    /// question keeps its number: answers may take longer than that.
    fn question(&mut self, now: u64, own: u64, acked: u64, number: impl FnOnce() -> u64) -> Option<u64> {
        if self.word == Some(Word::Stops) || self.keeps(own) {
            return None;
        }
        let has = (self.has_target() && acked >= own).then_some(own);
        let question = match &mut self.question {
            Some(asked) if asked.has >= has && now < asked.asked_at + ASK_US => return None,
            Some(asked) if asked.has >= has => asked,
            other => other.insert(Question { number: number(), has, asked_at: now }),
        };
        question.asked_at = now;
        Some(question.number)
    }
}

impl HandOver {
    /// A peer has said what it has of a range of origins; `rest_agrees`: of those not listed what is `here` in all buckets.
    /// Of what is here in some buckets only, that says nothing.
    pub(in crate::engine) fn heard(
        &mut self,
        peer: ReplicaId,
        range: &RangeInclusive<ReplicaId>,
        entries: &[(ReplicaId, u64)],
        rest_agrees: bool,
        here: &VersionVector,
    ) {
        let Self { target, receivers, .. } = self;
        let Some(lacking) = receivers.get_mut(&peer).and_then(|it| it.lacking.as_mut()) else { return };
        for (origin, seq) in entries {
            if *seq >= target.get(*origin) {
                lacking.remove(origin);
            }
        }
        if rest_agrees {
            let listed: BTreeSet<ReplicaId> = entries.iter().map(|(origin, _)| *origin).collect();
            let is_told = |origin: ReplicaId| range.contains(&origin) && !listed.contains(&origin);
            lacking.retain(|origin| !is_told(*origin) || here.get(*origin) < target.get(*origin));
        }
    }

    /// A peer has the same as is here.
    pub(in crate::engine) fn agrees(&mut self, peer: ReplicaId) {
        if let Some(lacking) = self.receivers.get_mut(&peer).and_then(|it| it.lacking.as_mut()) {
            lacking.clear();
        }
    }

    /// Begins to compare vectors with a few peers more, those first of which something can be expected; says whom to ask
    /// for theirs, if it is time to.
    fn compare(&mut self, now: u64, live: &[Live]) -> Vec<ReplicaId> {
        let mut compared = self.receivers.values().filter(|it| it.lacking.is_some() && !it.has_target()).count();
        for peer in live {
            let receiver = self.receivers.entry(peer.id).or_default();
            if compared < COMPARED_MAX && receiver.lacking.is_none() && receiver.word != Some(Word::Stops) {
                // What it wrote it has.
                let of_others = self.target.iter().map(|(origin, _)| origin).filter(|origin| *origin != peer.id);
                receiver.lacking = Some(of_others.collect());
                compared += 1;
            }
        }
        if now < self.compare_at {
            return Vec::new();
        }
        self.compare_at = now + ASK_US;
        let is_open = |it: &Receiver| it.lacking.as_ref().is_some_and(|lacking| !lacking.is_empty());
        self.receivers.iter().filter(|(_, it)| is_open(it)).map(|(id, _)| *id).collect()
    }
}

/// A live peer, as a hand-over looks at it.
struct Live {
    id: ReplicaId,
    acked: u64,
    whole: bool,
}

impl Replica {
    /// Begins to hand over everything that is here now. From now on this replica tells those who ask that it stops, too: it
    /// is the beginning of the end. Begun again, it goes on with what has come since.
    pub fn begin_hand_over(&mut self, now: Now) {
        let me = self.id();
        let target: VersionVector = self.store.version_ceiling().iter().filter(|(id, _)| *id != me).collect();
        let own = self.position();
        match &mut self.hand_over {
            Some(it) if it.target == target => it.own = own,
            other => *other = Some(HandOver { target, own, receivers: BTreeMap::new(), compare_at: now.mono }),
        }
        self.pursue_hand_over(now);
    }

    /// Goes on with it: asks the peers what they have, and whether they stay. To be called again and again, until
    /// [`Replica::is_handed_over`].
    pub fn pursue_hand_over(&mut self, now: Now) {
        self.hurry_acks(now);
        let live = self.peers.iter().filter(|(_, it)| it.live);
        let mut live: Vec<Live> =
            live.map(|(id, it)| Live { id: *id, acked: it.acked, whole: it.standing.is_whole() }).collect();
        live.sort_by_key(|peer| !peer.whole);
        let Some(mut it) = self.hand_over.take() else { return };
        let own = it.own;
        it.receivers.retain(|id, _| live.iter().any(|peer| peer.id == *id));
        for peer in it.compare(now.mono, &live) {
            self.send_versions(peer, true);
        }
        let mut asked = 0;
        for peer in live {
            let receiver = it.receivers.get_mut(&peer.id).expect("each has an entry by now");
            if asked < ASKED_MAX
                && let Some(number) =
                    receiver.question(now.mono, own, peer.acked, || self.random_below(usize::MAX) as u64)
            {
                self.tell(peer.id, &Message::AskStays { number });
                asked += 1;
            }
        }
        self.hand_over = Some(it);
    }

    /// A peer that stops asks whether it can rely on this replica.
    pub(in crate::engine) fn on_ask_stays(&mut self, sender: ReplicaId, number: u64) {
        let staying = match &self.hand_over {
            Some(_) => Staying::Stops,
            None if self.conflicted => Staying::Stops, // it must not go on under its id
            None if self.standing().is_whole() => Staying::Whole,
            None => Staying::Lacks,
        };
        self.tell(sender, &Message::Stays { number, staying });
    }

    /// A peer says whether this replica can rely on it.
    pub(in crate::engine) fn on_stays(&mut self, sender: ReplicaId, number: u64, staying: Staying) {
        let Some(receiver) = self.hand_over.as_mut().and_then(|it| it.receivers.get_mut(&sender)) else { return };
        let Some(question) = receiver.question.filter(|it| it.number == number) else { return };
        if receiver.word == Some(Word::Stops) {
            return;
        }
        receiver.word = Some(match staying {
            Staying::Whole => Word::Stays(question.has),
            Staying::Lacks => Word::Lacks,
            Staying::Stops => Word::Stops,
        });
    }

    /// Whether all that was here when the hand-over was begun last is held by so many live peers that are whole and stay; or
    /// there was nothing to hold.
    #[must_use]
    pub fn is_handed_over(&self, peers: usize) -> bool {
        let Some(it) = &self.hand_over else { return false };
        let is_empty = it.own == 0 && it.target.is_empty();
        is_empty || self.handed_over_to() >= peers
    }

    /// Whether every live peer is known to have all of it, or not to be one to rely on.
    #[must_use]
    pub fn is_handed_over_to_all(&self) -> bool {
        let own = self.own_target();
        let is_settled = |it: &&Receiver| it.keeps(own) || matches!(it.word, Some(Word::Stops | Word::Lacks));
        self.live_receivers().filter(is_settled).count() == self.peers.live()
    }

    /// How many live peers are whole, stay, and are known to have all of it.
    #[must_use]
    pub fn handed_over_to(&self) -> usize {
        let own = self.own_target();
        self.live_receivers().filter(|it| it.keeps(own)).count()
    }

    /// Up to where peers should have own events.
    fn own_target(&self) -> u64 {
        self.hand_over.as_ref().map_or(0, |it| it.own)
    }

    fn live_receivers(&self) -> impl Iterator<Item = &Receiver> {
        let known = self.hand_over.iter().flat_map(|it| &it.receivers);
        known.filter(|(id, _)| self.peers.get(id).is_some_and(|peer| peer.live)).map(|(_, it)| it)
    }

    /// Whether a live peer has said that it stops, too.
    #[must_use]
    pub fn stops_too(&self, peer: ReplicaId) -> bool {
        let it = self.hand_over.as_ref().and_then(|it| it.receivers.get(&peer));
        it.is_some_and(|it| it.word == Some(Word::Stops))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::repair::versions::ALL;

    #[test]
    fn of_what_is_here_in_some_buckets_only_a_sum_over_vectors_says_nothing() {
        let [writer, other, peer] = [1, 2, 3].map(ReplicaId::new);
        let target: VersionVector = [(writer, 9), (other, 4)].into_iter().collect();
        let here: VersionVector = [(writer, 5), (other, 4)].into_iter().collect();
        let receiver = Receiver { lacking: Some([writer, other].into()), ..Receiver::default() };
        let mut it = HandOver { target, own: 0, receivers: [(peer, receiver)].into(), compare_at: 0 };
        it.heard(peer, &ALL, &[], true, &here);
        assert_eq!(it.receivers[&peer].lacking, Some([writer].into()));
        it.heard(peer, &ALL, &[(writer, 9)], true, &here);
        assert!(it.receivers[&peer].has_target());
    }
}
