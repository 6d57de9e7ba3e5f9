//! Sums of counters that are added to without the engine.
//!
//! All that a replica adds to one counter while a flush window is open becomes one cell of one event; the sums on the
//! way there are seen by the callers alone. So once the engine has made one addition, those that follow before the
//! window ends are made here: a comparison and two sums of integers, under the engine's lock. What came together is written
//! when a caller comes to the engine for anything else ([`Shared::core`](super::engine_lock::Shared::core), reads
//! included), the end of the window among them: no caller can tell the difference.

use crate::engine::{Now, Replica};

/// How many counters are known at once. Two that fall on one slot take turns.
const SLOTS: usize = u64::BITS as usize;
/// A wall clock that moves by more than this ahead of the monotonic one may have stepped.
const STEP_MS: u64 = 500;
/// What the counters come to that were added to last.
#[derive(Default)]
pub(super) struct Sums {
    slots: Vec<Sum>,
    /// The slots that agree with the engine, but for what waits: a bit for each.
    known: u64,
    /// Those of which something waits to be written.
    waiting: u64,
    /// When the last addition was made, and when the engine's window ends.
    now: Now,
    ends: u64,
}

#[derive(Clone, Default)]
struct Sum {
    /// Of the key that the engine added to last; not always that of the sum.
    hash: u64,
    /// The key whose sum this is, if the slot is known.
    key: Vec<u8>,
    sum: i64,
    /// The part of it that the engine has not been told.
    waiting: i64,
}

impl Sums {
    /// Adds to a sum that is known; `None`: this addition is the engine's.
    pub(super) fn add(&mut self, hash: u64, key: &[u8], delta: i64, now: Now) -> Option<i64> {
        let slot = slot_of(hash);
        // Whether the wall clock has stepped is for the engine to see.
        let has_stepped = now.wall.saturating_sub(self.now.wall) > (now.mono - self.now.mono) / 1_000 + STEP_MS;
        if self.known & 1 << slot == 0 || now.mono >= self.ends || has_stepped || self.slots[slot].key != key {
            return None;
        }
        let it = &mut self.slots[slot];
        (it.sum, it.waiting) = (it.sum.checked_add(delta)?, it.waiting.checked_add(delta)?);
        self.waiting |= 1 << slot;
        self.now = now;
        Some(it.sum)
    }

    /// The engine, written to at `now`, says that the counter at `key` is at `sum`; its window is open until `ends`.
    /// Nothing may wait. A key that was not the last one in its slot has to come a second time to be worth a copy.
    pub(super) fn learn(&mut self, hash: u64, key: &[u8], sum: i64, now: Now, ends: u64) {
        self.slots.resize(SLOTS, Sum::default());
        (self.now, self.ends) = (now, ends);
        let slot = slot_of(hash);
        let it = &mut self.slots[slot];
        if it.hash != hash {
            // The sum in the slot, if it is of this very key, is not kept up to date by this addition.
            it.hash = hash;
            self.known &= !(1 << slot);
            return;
        }
        if it.key != key {
            it.key.clear();
            it.key.extend_from_slice(key);
        }
        it.sum = sum;
        self.known |= 1 << slot;
    }

    /// Whether something waits to be written.
    pub(super) fn any_waits(&self) -> bool {
        self.waiting != 0
    }

    /// Writes what waits.
    pub(super) fn write_to(&mut self, replica: &mut Replica) {
        while self.waiting != 0 {
            let it = &mut self.slots[self.waiting.trailing_zeros() as usize];
            self.waiting &= self.waiting - 1;
            let delta = std::mem::take(&mut it.waiting);
            let sum = replica.write(self.now, it.key.len(), |writer| writer.add(&it.key, delta));
            assert_eq!(sum, Ok(it.sum), "nobody came to the engine since it said what the counter was at");
        }
    }

    /// The engine is about to change by other hands.
    pub(super) fn forget(&mut self) {
        self.known = 0;
    }
}

fn slot_of(hash: u64) -> usize {
    usize::try_from(hash % SLOTS as u64).expect("fewer than there are slots")
}
