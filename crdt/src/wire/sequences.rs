//! How lists and logs lay themselves out.
//!
//! ```text
//! list      1 if it only lists positions, then n × (position, writes), sorted by position
//! position  head, then the steps it does not share with the position before it: side and replica and clock and offset
//! head      steps shared << 3 | 4 if the number of new steps, here 1, is left out | 2 if the first new step is a left
//!           one | 1 if there is one write, that of the last step's replica and clock
//! step      (side, but of the first), replica, clock less the clock of the step written before it, offset
//! writes    n × (dot, stamp less the clock of the position, value); if there is one as above, its sequence number
//!           less that of the one before, value
//! log       writers × (replica, n × (seq less that of the one before less 1, stamp less that of the one before, value))
//! ```
//!
//! An element that was pushed and never written again thus costs about six bytes beside its value, an entry of a log
//! three.

use alloc::vec::Vec;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{DecodeError, EncodeError, Reader, Wire, Writer};
use crate::list::Writes;
use crate::position::{Side, Step};
use crate::ranked::Ranked;
use crate::tree::Tree;
use crate::{AppendLog, Dot, DotFun, Hlc, List, Position};

const PLAIN: u64 = 1;
const LEFT: u64 = 2;
const ONE_STEP: u64 = 4;
const SHARED_SHIFT: u32 = 3;

/// What both sides remember of the entry before.
#[derive(Default)]
struct Before {
    steps: Vec<Step>,
    clock: u64,
    seq: u64,
}

impl<T: Clone + Serialize + DeserializeOwned> Wire for List<T> {
    fn encode_to(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.flag(self.entries.is_listing());
        writer.count(self.entries.len());
        let mut before = Before::default();
        for (position, writes) in self.entries.iter() {
            let steps: Vec<Step> = position.steps().collect();
            let plain = plain_write(writes, &steps);
            encode_position(writer, &steps, plain.is_some(), &mut before);
            match plain {
                Some((dot, value)) => {
                    writer.signed(i128::from(dot.seq) - i128::from(before.seq));
                    before.seq = dot.seq;
                    writer.payload(value)?;
                }
                None => writer.cells(writes, |writer, (stamp, value)| {
                    writer.signed(i128::from(stamp.bits()) - i128::from(before.clock));
                    writer.payload(value)
                })?,
            }
            before.steps = steps;
        }
        Ok(())
    }

    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let listing = reader.flag()?;
        let mut entries: Vec<(Position, Writes<T>)> = Vec::new();
        let mut before = Before::default();
        for _ in 0..reader.count()? {
            let (position, is_plain) = decode_position(reader, &mut before)?;
            if entries.last().is_some_and(|(last, _)| *last >= position) {
                return Err(DecodeError::Malformed("positions repeated or out of order"));
            }
            let writes = if is_plain { decode_plain(reader, &mut before)? } else { decode_writes(reader, &before)? };
            if !listing && writes.is_empty() {
                return Err(DecodeError::Malformed("an empty value in a whole table"));
            }
            entries.push((position, writes));
        }
        Ok(Self::of(Ranked::from_sorted(entries, listing)))
    }
}

/// The write that put the element there, if that is all.
fn plain_write<'a, T>(writes: &'a Writes<T>, steps: &[Step]) -> Option<(Dot, &'a T)> {
    let (mut writes, last) = (writes.iter(), steps.last()?);
    let (dot, (stamp, value)) = writes.next()?;
    (writes.len() == 0 && dot.replica == last.replica && *stamp == last.clock).then_some((dot, value))
}

fn encode_position(writer: &mut Writer, steps: &[Step], is_plain: bool, before: &mut Before) {
    let shared = steps.iter().zip(&before.steps).take_while(|(a, b)| a == b).count();
    // A list shares no whole position: that would be the same one twice, unless it is the beginning of it.
    let shared = shared.min(steps.len() - 1);
    let fresh = &steps[shared..];
    let mut head = (shared as u64) << SHARED_SHIFT;
    head |= if fresh[0].side == Side::Left { LEFT } else { 0 };
    head |= if fresh.len() == 1 { ONE_STEP } else { 0 };
    head |= if is_plain { PLAIN } else { 0 };
    writer.integer(head);
    if fresh.len() > 1 {
        writer.count(fresh.len());
    }
    for (nth, step) in fresh.iter().enumerate() {
        if nth > 0 {
            writer.flag(step.side == Side::Left);
        }
        writer.replica(step.replica);
        writer.signed(i128::from(step.clock.bits()) - i128::from(before.clock));
        before.clock = step.clock.bits();
        writer.integer(step.offset);
    }
}

fn decode_position(reader: &mut Reader<'_>, before: &mut Before) -> Result<(Position, bool), DecodeError> {
    let head = reader.integer()?;
    let shared = usize::try_from(head >> SHARED_SHIFT).unwrap_or(usize::MAX);
    if shared > before.steps.len() {
        return Err(DecodeError::Malformed("a position that shares what there is not"));
    }
    before.steps.truncate(shared);
    // A step that is shared costs no bytes here, but memory.
    reader.charge(shared)?;
    let fresh = if head & ONE_STEP == 0 { reader.count()? } else { 1 };
    if fresh == 0 {
        return Err(DecodeError::Malformed("no position"));
    }
    let mut path = Position::root();
    for step in &before.steps {
        path.descend(*step)?;
    }
    for nth in 0..fresh {
        let is_left = if nth == 0 { head & LEFT != 0 } else { reader.flag()? };
        let side = if is_left { Side::Left } else { Side::Right };
        let replica = reader.replica()?;
        let clock = decode_clock(reader, before.clock)?;
        before.clock = clock.bits();
        let offset = u32::try_from(reader.integer()?).map_err(|_| DecodeError::Malformed("an offset out of range"))?;
        let step = Step { side, clock, replica, offset };
        path.descend(step)?;
        before.steps.push(step);
    }
    Ok((path.close(), head & PLAIN != 0))
}

fn decode_clock(reader: &mut Reader<'_>, base: u64) -> Result<Hlc, DecodeError> {
    let clock = reader.signed()?.checked_add(base.into()).and_then(|clock| u64::try_from(clock).ok());
    clock.map(Hlc::from_bits).ok_or(DecodeError::Malformed("a clock out of range"))
}

fn decode_plain<T: DeserializeOwned>(reader: &mut Reader<'_>, before: &mut Before) -> Result<Writes<T>, DecodeError> {
    let step = *before.steps.last().ok_or(DecodeError::Malformed("no position"))?;
    let seq = reader.signed()?.checked_add(before.seq.into()).and_then(|seq| u64::try_from(seq).ok());
    let seq = seq.filter(|seq| (1..=Dot::SEQ_MAX).contains(seq));
    let dot = Dot::new(step.replica, seq.ok_or(DecodeError::Malformed("a sequence number out of range"))?);
    before.seq = dot.seq;
    Ok(DotFun::of(reader.live(dot)?, (step.clock, reader.payload()?)))
}

/// A write is as late as the place it is in, or later.
fn decode_writes<T: DeserializeOwned>(reader: &mut Reader<'_>, before: &Before) -> Result<Writes<T>, DecodeError> {
    reader.cells(|reader| {
        let stamp = decode_clock(reader, before.clock)?;
        if stamp.bits() < before.clock {
            return Err(DecodeError::Malformed("a write before its place was there"));
        }
        Ok((stamp, reader.payload()?))
    })
}

impl<T: Clone + Serialize + DeserializeOwned> Wire for AppendLog<T> {
    fn encode_to(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let entries: Vec<_> = self.entries.iter().collect();
        let writers = entries.chunk_by(|a, b| a.0.replica == b.0.replica);
        writer.count(writers.clone().count());
        let mut before = 0;
        for entries in writers {
            writer.replica(entries[0].0.replica);
            writer.count(entries.len());
            let mut seq = 0;
            for (dot, (stamp, value)) in entries {
                writer.integer(dot.seq.saturating_sub(seq + 1));
                seq = dot.seq;
                writer.signed(i128::from(stamp.bits()) - i128::from(before));
                before = stamp.bits();
                writer.payload(value)?;
            }
        }
        Ok(())
    }

    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut entries: Vec<(Dot, (Hlc, T))> = Vec::new();
        let mut before = 0;
        let mut writers = alloc::collections::BTreeSet::new();
        for _ in 0..reader.count()? {
            let replica = reader.replica()?;
            if !writers.insert(replica) {
                return Err(DecodeError::Malformed("a writer twice"));
            }
            let mut seq = 0_u64;
            for _ in 0..reader.count()? {
                seq = seq.saturating_add(reader.integer()?).saturating_add(1);
                let dot = reader.live(Dot::new(replica, seq))?;
                let stamp = decode_clock(reader, before)?;
                before = stamp.bits();
                entries.push((dot, (stamp, reader.payload()?)));
            }
        }
        // Replicas are named by indices, which a stranger may have in any order.
        entries.sort_by_key(|(dot, _)| *dot);
        Ok(Self::of(Tree::from_sorted(entries)))
    }
}
