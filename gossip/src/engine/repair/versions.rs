//! Comparing version vectors, at a cost in what differs rather than in how many replicas there ever were.
//!
//! A vector has an entry for every incarnation that ever wrote, and nearly all of them are dead and equal everywhere.
//! So a replica lists those that changed last, one datagram full, and adds one sum over all others. Only when that sum
//! differs are the ids cut into ranges, and ranges whose sums differ again, until so few entries are left that they can
//! be listed. Every message stands for itself: nothing is kept between them, and any may be lost.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use cahoots_crdt::{ReplicaId, VersionVector};
use xxhash_rust::xxh3::xxh3_64;

use crate::engine::{Now, Replica};
use crate::wire::Message;

/// Entries in one message that fit a datagram.
pub(in crate::engine) const ENTRIES_MAX: usize = 55;
/// The two who talk to each other, and one.
const ENTRIES_LEAST: usize = 3;
/// Parts into which a range is cut: two cuts get from 50,000 entries to a list.
const PARTS: usize = 32;
/// Entries kept of what one peer has.
const KNOWN_MAX: usize = 256;

pub(in crate::engine) const ALL: RangeInclusive<ReplicaId> = ReplicaId::new(0)..=ReplicaId::new(u64::MAX);

/// The origins whose events came last, newest at the end. Only saves bytes: whatever it misses shows in the sum.
#[derive(Debug)]
pub(in crate::engine) struct Recent {
    origins: VecDeque<ReplicaId>,
    entries_max: usize,
}

impl Recent {
    pub(in crate::engine) fn new(entries_max: usize) -> Self {
        Self { origins: VecDeque::new(), entries_max: entries_max.clamp(ENTRIES_LEAST, ENTRIES_MAX) }
    }

    pub(in crate::engine) fn note(&mut self, origin: ReplicaId) {
        if self.origins.back() == Some(&origin) {
            return;
        }
        match self.origins.iter().position(|it| *it == origin) {
            Some(at) => _ = self.origins.remove(at),
            // Two places are for the two who talk to each other.
            None if self.origins.len() == self.entries_max - 2 => _ = self.origins.pop_front(),
            None => {}
        }
        self.origins.push_back(origin);
    }
}

/// What an entry adds to a sum.
fn print((replica, seq): (ReplicaId, u64)) -> u64 {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&replica.get().to_le_bytes());
    bytes[8..].copy_from_slice(&seq.to_le_bytes());
    xxh3_64(&bytes)
}

fn sum(entries: impl Iterator<Item = (ReplicaId, u64)>) -> u64 {
    entries.fold(0, |sum, entry| sum.wrapping_add(print(entry)))
}

/// A range of ids cut into parts.
struct Cut {
    first: u64,
    last: u64,
    width: u64,
}

impl Cut {
    /// `None` if there is nothing to cut, or nothing to cut it into.
    fn new(range: &RangeInclusive<ReplicaId>, parts: usize) -> Option<Self> {
        let (first, last) = (range.start().get(), range.end().get());
        let width = last.checked_sub(first)? / u64::try_from(parts).ok().filter(|it| *it > 1)? + 1;
        Some(Self { first, last, width })
    }

    fn part_of(&self, id: ReplicaId) -> usize {
        usize::try_from((id.get() - self.first) / self.width).expect("below the number of parts")
    }

    fn part(&self, index: usize) -> Option<RangeInclusive<ReplicaId>> {
        let first = self.first.checked_add(self.width.checked_mul(index as u64)?).filter(|it| *it <= self.last)?;
        let last = first.saturating_add(self.width - 1).min(self.last);
        Some(ReplicaId::new(first)..=ReplicaId::new(last))
    }
}

impl Replica {
    /// What may be told of a range: all of it, but of own events those only that are certain to stay.
    fn entries_in(&self, range: &RangeInclusive<ReplicaId>) -> Vec<(ReplicaId, u64)> {
        let (me, certain) = (self.id(), self.store.certain_seq());
        let told = |(id, seq)| if id == me { (id, certain) } else { (id, seq) };
        let entries = self.store.version_vector().iter().filter(|(id, _)| range.contains(id)).map(told);
        entries.filter(|(_, seq)| *seq > 0).collect()
    }

    /// Seals, before any account of what is here: the own seq told must count whatever was written before it was given.
    fn begin_account(&mut self) {
        self.store.seal();
        self.log_sealed();
    }

    /// Tells a peer what is here: in full if that is little, else what is new, and a sum of the rest.
    pub(in crate::engine) fn send_versions(&mut self, peer: ReplicaId, reply: bool) {
        self.begin_account();
        let told: VersionVector = self.entries_in(&ALL).into_iter().collect();
        if told.len() <= self.recent.entries_max {
            return self.list_versions(peer, &ALL, reply);
        }
        let mut listed: Vec<ReplicaId> = self.recent.origins.iter().copied().chain([self.id(), peer]).collect();
        listed.sort_unstable();
        listed.dedup();
        let entries: Vec<_> = listed.iter().map(|id| (*id, told.get(*id))).collect();
        let rest = sum(told.iter()).wrapping_sub(sum(entries.iter().copied().filter(|(_, seq)| *seq > 0)));
        self.tell_versions(peer, &ALL, entries, Some(rest), reply);
    }

    /// Tells a peer all that is here of a range, in as many messages as it takes. One answer to them will do.
    pub(in crate::engine) fn list_versions(&mut self, peer: ReplicaId, range: &RangeInclusive<ReplicaId>, reply: bool) {
        self.begin_account();
        let entries = self.entries_in(range);
        let mut first = *range.start();
        let mut parts = entries.chunks(self.recent.entries_max).peekable();
        loop {
            let entries = parts.next().unwrap_or_default().to_vec();
            let end = parts.peek().is_none();
            let last = match entries.last() {
                Some((last, _)) if !end => *last,
                _ => *range.end(),
            };
            self.tell_versions(peer, &(first..=last), entries, None, reply && end);
            if end {
                return;
            }
            first = ReplicaId::new(last.get() + 1);
        }
    }

    fn tell_versions(
        &mut self,
        peer: ReplicaId,
        range: &RangeInclusive<ReplicaId>,
        entries: Vec<(ReplicaId, u64)>,
        rest: Option<u64>,
        reply: bool,
    ) {
        // While buckets come in, those that are here are ahead of those to come, and no peer lacks anything of that. Of
        // a pass in vain that is not true, and it may be followed by others for as long as a peer cannot be asked.
        let ahead = if self.is_fetching() { 0 } else { self.store.buckets_ahead() };
        let ahead = u16::try_from(ahead).unwrap_or(u16::MAX);
        let (seq, first, last) = (self.position_sealed(), *range.start(), *range.end());
        self.counters.versions_sent += 1;
        self.tell(peer, &Message::Versions { seq, ahead, first, last, entries, rest, reply });
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one message")]
    pub(in crate::engine) fn on_versions(
        &mut self,
        now: Now,
        sender: ReplicaId,
        seq: u64,
        ahead: u16,
        range: &RangeInclusive<ReplicaId>,
        entries: &[(ReplicaId, u64)],
        rest: Option<u64>,
        reply: bool,
    ) {
        let vv = self.store.version_vector();
        let mut listed: Vec<ReplicaId> = entries.iter().map(|(id, _)| *id).collect();
        listed.sort_unstable();
        let is_listed = |id: ReplicaId| listed.binary_search(&id).is_ok();
        let ours = self.entries_in(range);
        let unlisted = || ours.iter().copied().filter(|(id, _)| !is_listed(*id));
        let rest_agrees = rest.is_none_or(|rest| rest == sum(unlisted()));
        let lacking = entries.iter().any(|(origin, seq)| *seq > vv.get(*origin));
        if let Some(joining) = self.joining.as_mut().filter(|_| rest_agrees) {
            joining.heard(sender, range, entries.iter().copied());
        }
        if let Some(hand_over) = &mut self.hand_over {
            hand_over.heard(sender, range, entries, rest.is_some() && rest_agrees, vv);
        }
        let mut known: VersionVector = entries.iter().copied().collect();
        if rest.is_some() && rest_agrees {
            // Of those not listed it has what is here. Kept is what collecting baselines of its slots depends on.
            let resetters = self.store.resetters(sender).into_iter();
            known.merge(&resetters.filter(|id| !is_listed(*id)).map(|id| (id, vv.get(id))).collect());
        }
        self.note_versions(sender, seq, &known);
        if let Some((_, acked)) = entries.iter().find(|(origin, _)| *origin == self.store.id()) {
            self.note_ack(now, sender, *acked);
        }
        if range.contains(&self.store.id()) {
            self.note_heard(sender);
        }
        for (origin, seq) in entries {
            self.pull(now, *origin, sender, *seq);
        }
        if self.stays_ahead(now, sender, ahead) && !lacking && rest_agrees && range.end() == ALL.end() {
            // It knows buckets further than any vector says: what is known of them travels by buckets only.
            self.reconcile(now, sender, None);
        }
        if !reply {
            return;
        }
        if rest.is_none() {
            return self.list_versions(sender, range, false);
        }
        self.send_versions(sender, false);
        if !rest_agrees {
            self.describe(sender, range);
        }
    }

    /// Whether a peer, by what it says now, has had buckets ahead of its vector for longer than events take that are on
    /// their way to it. One that has just fetched buckets lacks those; no other lacks what it has.
    fn stays_ahead(&mut self, now: Now, sender: ReplicaId, ahead: u16) -> bool {
        let Some(peer) = self.peers.get_mut(&sender) else { return false };
        if ahead == 0 {
            peer.ahead_since = None;
            return false;
        }
        now.mono - *peer.ahead_since.get_or_insert(now.mono) >= self.config.gossip_interval_us
    }

    /// Keeps what a peer said it has.
    fn note_versions(&mut self, sender: ReplicaId, seq: u64, known: &VersionVector) {
        let Some(peer) = self.peers.get_mut(&sender) else { return };
        peer.versions.merge(known);
        if peer.versions.len() > KNOWN_MAX {
            peer.versions = known.iter().take(KNOWN_MAX).collect();
        }
        peer.said_seq = peer.said_seq.max(seq);
        peer.has_news = true;
    }

    /// Has a peer compare a range in which the two differ: entry by entry if there are few here, else part by part.
    fn describe(&mut self, peer: ReplicaId, range: &RangeInclusive<ReplicaId>) {
        let ours = self.entries_in(range);
        let Some(cut) = Cut::new(range, PARTS).filter(|_| ours.len() > self.recent.entries_max) else {
            return self.list_versions(peer, range, true);
        };
        let mut sums = vec![0_u64; PARTS];
        for entry in ours {
            let sum = &mut sums[cut.part_of(entry.0)];
            *sum = sum.wrapping_add(print(entry));
        }
        self.counters.ranges_sent += 1;
        self.tell(peer, &Message::Ranges { first: *range.start(), last: *range.end(), sums });
    }

    /// A peer compares a range part by part.
    pub(in crate::engine) fn on_ranges(&mut self, sender: ReplicaId, range: &RangeInclusive<ReplicaId>, sums: &[u64]) {
        let Some(cut) = Cut::new(range, sums.len()).filter(|_| sums.len() <= PARTS) else { return };
        self.begin_account();
        let mut differences = sums.to_vec();
        for entry in self.entries_in(range) {
            let difference = &mut differences[cut.part_of(entry.0)];
            *difference = difference.wrapping_sub(print(entry));
        }
        for (index, difference) in differences.into_iter().enumerate() {
            let Some(part) = cut.part(index) else { continue };
            if difference != 0 {
                self.describe(sender, &part);
                continue;
            }
            if let Some(joining) = &mut self.joining {
                joining.heard(sender, &part, std::iter::empty());
            }
            if let Some(hand_over) = &mut self.hand_over {
                hand_over.heard(sender, &part, &[], true, self.store.version_vector());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No replica cuts so; of a message that does, every id would lie in a part of no width.
    #[test]
    fn sums_of_all_ids_in_one_part_are_not_compared() {
        let now = Now { mono: 0, wall: 1_700_000_000_000 };
        let mut replica = Replica::new(crate::engine::ReplicaConfig::default(), ReplicaId::new(1), now);
        let peer = ReplicaId::new(2);
        replica.peer_up(now, peer, std::net::SocketAddr::from(([127, 0, 0, 1], 2)), crate::Zone::default());
        replica.write(now, 0, |w| w.set(b"key", b"value")).expect("admitted");
        for sums in [&[][..], &[7], &[7; PARTS + 1]] {
            replica.on_ranges(peer, &ALL, sums);
            assert_eq!(replica.counters.versions_sent + replica.counters.ranges_sent, 0);
        }
    }

    #[test]
    fn a_range_is_cut_so_that_every_id_is_in_one_part() {
        for range in [ALL, ReplicaId::new(7)..=ReplicaId::new(7), ReplicaId::new(3)..=ReplicaId::new(70)] {
            let cut = Cut::new(&range, PARTS).expect("a range");
            let parts: Vec<_> = (0..PARTS).map_while(|index| cut.part(index)).collect();
            assert_eq!((parts[0].start(), parts[parts.len() - 1].end()), (range.start(), range.end()));
            for (index, part) in parts.iter().enumerate() {
                assert_eq!((cut.part_of(*part.start()), cut.part_of(*part.end())), (index, index));
            }
            assert!(parts.windows(2).all(|two| two[0].end().get() + 1 == two[1].start().get()));
        }
        assert!(Cut::new(&(ReplicaId::new(2)..=ReplicaId::new(1)), PARTS).is_none());
        assert!(Cut::new(&ALL, 0).is_none());
    }

    #[test]
    fn the_origins_that_changed_last_are_listed() {
        let mut recent = Recent::new(ENTRIES_MAX);
        (0..200).for_each(|id| recent.note(ReplicaId::new(id)));
        recent.note(ReplicaId::new(150));
        recent.note(ReplicaId::new(150));
        assert_eq!(recent.origins.len(), ENTRIES_MAX - 2);
        assert_eq!(recent.origins.back(), Some(&ReplicaId::new(150)));
        assert_eq!(recent.origins.front(), Some(&ReplicaId::new(200 - (ENTRIES_MAX as u64 - 2))));
    }
}
