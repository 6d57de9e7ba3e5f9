//! Where an element of a list stands: a name that carries its order in itself.
//!
//! Positions are the nodes of a tree that nobody stores. A position is the path to its node; the first step hangs below
//! one of two virtual nodes, the start of the list or its end. Reading the tree in order (left children, node, right
//! children) gives the list. Left siblings ascend by (clock, replica, offset), right siblings descend, so that of two
//! siblings the later is nearer to the parent, on either side. The clock of a step exceeds every clock its author had
//! seen, so a new position lies directly beside the neighbour below which it hangs.
//!
//! Encoded, as one string of bytes whose order is the list's order:
//!
//! ```text
//! step    side (1 byte), then clock (8) | replica (8) | offset (1, or 0xf0 and 4); of a right step these inverted
//! side    first step: 00 right of the start, 01 left of the end; below: 00 left, 02 right
//! end     01, which sorts a node between its left and its right children
//! ```
//!
//! Invariant: clocks ascend along a path, for whoever hangs a node below another has seen that one.

use core::fmt;

use smallvec::SmallVec;

use crate::{DecodeError, Hlc, ListError, ReplicaId, StaleStamp};

/// Where an element of a [`List`](crate::List) stands, for as long as it lives and wherever others are put.
///
/// Positions compare as their elements stand in the list. Keep one as a cursor: it can be inserted beside even after
/// its element was removed. 19 bytes for whatever is pushed to either end; 18 more for each level of elements put
/// between others.
///
/// The order of their bytes is their order, which suits sorted storage:
///
/// ```
/// use cahoots_crdt::{Causal, Hlc, List, Position, ReplicaId};
///
/// let a = ReplicaId::new(1);
/// let mut list: Causal<List<&str>> = Causal::new();
/// let _sent = list.push_back(a, Hlc::new(1_000, 0), "x")?;
/// let _sent = list.push_front(a, Hlc::new(1_000, 1), "w")?;
/// let (w, x) = (list.position(0).unwrap(), list.position(1).unwrap());
/// assert!(w < x && w.as_bytes() < x.as_bytes() && x.as_bytes().len() == 19);
/// assert_eq!(Position::from_bytes(x.as_bytes()).as_ref(), Ok(x));
/// # Ok::<(), cahoots_crdt::ListError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(SmallVec<[u8; 24]>);

/// On which side of another a position is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Before the parent, or before the end of the list.
    Left,
    /// After the parent, or after the start of the list.
    Right,
}

/// One step of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) side: Side,
    pub(crate) clock: Hlc,
    pub(crate) replica: ReplicaId,
    /// The number of the element within the change that put it there.
    pub(crate) offset: u32,
}

/// Ends a path.
const END: u8 = 1;
/// From here on an offset takes four more bytes.
const OFFSET_LONG: u8 = 0xf0;
const STEP_BYTES_MIN: usize = 18;

impl Position {
    /// Bytes of a position at most. Only elements put again and again between the last two, or in the middle, come
    /// near: a level costs 18 bytes.
    pub const BYTES_MAX: usize = 1024;

    /// The position as bytes that sort as positions do.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The position that [`as_bytes`](Self::as_bytes) gave.
    ///
    /// # Errors
    /// When no position has these bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut path = Self::root();
        let mut rest = bytes;
        while let Some(step) = Step::read(&mut rest, path.is_root())? {
            path.descend(step)?;
        }
        // Whatever else reads as the same path is not what was written.
        let position = path.close();
        if position.0.as_slice() == bytes { Ok(position) } else { Err(DecodeError::Malformed("no position")) }
    }

    /// A new position between two neighbours, or at an end where there is none: `Some`, `None` is after all others.
    ///
    /// It hangs below the neighbour that is named in fewer bytes; where they take as many, as at an empty list, on the side
    /// that `tie` says: [`Side::Left`] of `after` (or of the end), [`Side::Right`] of `before` (or of the start). Of the
    /// positions that one change makes at one place, those to the left of their neighbour ascend by `offset`, those to the
    /// right descend. So `None`, `None` puts at the end of any list, or at its start, whatever it holds.
    ///
    /// For those who keep elements in storage of their own; [`List`](crate::List) makes its own. `stamp` must be above all
    /// that the maker has seen, and be used for one change. O(bytes).
    ///
    /// ```
    /// use cahoots_crdt::{Hlc, Position, ReplicaId, Side};
    ///
    /// let a = ReplicaId::new(1);
    /// let first = Position::between(None, None, Side::Left, (Hlc::new(1_000, 0), a), 0)?;
    /// let last = Position::between(Some(&first), None, Side::Left, (Hlc::new(1_000, 1), a), 0)?;
    /// let middle = Position::between(Some(&first), Some(&last), Side::Left, (Hlc::new(1_000, 2), a), 0)?;
    /// assert!(first < middle && middle < last);
    /// # Ok::<(), cahoots_crdt::ListError>(())
    /// ```
    ///
    /// # Errors
    /// [`ListError::TooDeep`]; [`ListError::Stale`] where the neighbour is no older.
    pub fn between(
        before: Option<&Self>,
        after: Option<&Self>,
        tie: Side,
        (stamp, replica): (Hlc, ReplicaId),
        offset: u32,
    ) -> Result<Self, ListError> {
        let (path, side) = Self::gap(before, after, tie);
        if path.clock.is_some_and(|above| above >= stamp) {
            return Err(StaleStamp.into());
        }
        let bytes = path.bytes_below(offset);
        if bytes > Self::BYTES_MAX {
            return Err(ListError::TooDeep { bytes, max: Self::BYTES_MAX });
        }
        Ok(path.child(Step { side, clock: stamp, replica, offset }))
    }

    /// The stamp of the change that made it.
    #[must_use]
    pub fn stamp(&self) -> Hlc {
        self.steps().last().map_or(Hlc::default(), |step| step.clock)
    }

    /// The path of no step, to be extended.
    pub(crate) fn root() -> Path {
        Path { bytes: SmallVec::new(), clock: None }
    }

    /// Below which node, and on which side, to hang what comes between two neighbours: the end of the list, or its
    /// start, where there is none. The shorter path is taken; where they are equally long, `tie`.
    pub(crate) fn gap(before: Option<&Self>, after: Option<&Self>, tie: Side) -> (Path, Side) {
        let length = |position: Option<&Self>| position.map_or(0, |position| position.0.len());
        let side = match length(after).cmp(&length(before)) {
            core::cmp::Ordering::Less => Side::Left,
            core::cmp::Ordering::Equal => tie,
            core::cmp::Ordering::Greater => Side::Right,
        };
        let parent = if side == Side::Left { after } else { before };
        (parent.map_or_else(Self::root, Self::path), side)
    }

    /// The steps from the first to the last; there is at least one.
    pub(crate) fn steps(&self) -> impl Iterator<Item = Step> + '_ {
        let mut rest = self.as_bytes();
        let mut is_first = true;
        core::iter::from_fn(move || Step::read(&mut rest, core::mem::take(&mut is_first)).ok().flatten())
    }

    fn path(&self) -> Path {
        let mut bytes = self.0.clone();
        bytes.pop();
        Path { bytes, clock: self.steps().last().map(|step| step.clock) }
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in self.steps() {
            let side = if step.side == Side::Left { '<' } else { '>' };
            write!(f, "{side}{:?}@{}+{}", step.clock, step.replica, step.offset)?;
        }
        Ok(())
    }
}

/// The steps of a position without its end.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    bytes: SmallVec<[u8; 24]>,
    clock: Option<Hlc>,
}

impl Path {
    pub(crate) fn is_root(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes of a position one step below, at most.
    pub(crate) fn bytes_below(&self, offset_max: u32) -> usize {
        self.bytes.len() + STEP_BYTES_MIN + if offset_max >= OFFSET_LONG.into() { 4 } else { 0 } + 1
    }

    /// The position one step below.
    pub(crate) fn child(&self, step: Step) -> Position {
        let mut path = self.clone();
        path.push(step);
        path.close()
    }

    /// Goes one step down, checking what came from outside.
    pub(crate) fn descend(&mut self, step: Step) -> Result<(), DecodeError> {
        if self.clock.is_some_and(|above| above >= step.clock) {
            return Err(DecodeError::Malformed("a position below one that is later"));
        }
        self.push(step);
        if self.bytes.len() >= Position::BYTES_MAX {
            return Err(DecodeError::Malformed("a position that is too long"));
        }
        Ok(())
    }

    pub(crate) fn close(mut self) -> Position {
        self.bytes.push(END);
        Position(self.bytes)
    }

    fn push(&mut self, step: Step) {
        self.bytes.push(match (step.side, self.is_root()) {
            (Side::Right, true) | (Side::Left, false) => 0,
            (Side::Left, true) => 1,
            (Side::Right, false) => 2,
        });
        let from = self.bytes.len();
        self.bytes.extend_from_slice(&step.clock.bits().to_be_bytes());
        self.bytes.extend_from_slice(&step.replica.get().to_be_bytes());
        match u8::try_from(step.offset) {
            Ok(short) if short < OFFSET_LONG => self.bytes.push(short),
            _ => {
                self.bytes.push(OFFSET_LONG);
                self.bytes.extend_from_slice(&step.offset.to_be_bytes());
            }
        }
        if step.side == Side::Right {
            for byte in &mut self.bytes[from..] {
                *byte = !*byte;
            }
        }
        self.clock = Some(step.clock);
    }
}

impl Step {
    /// Takes a step off the beginning of an encoding; `None` at its end.
    fn read(rest: &mut &[u8], is_first: bool) -> Result<Option<Self>, DecodeError> {
        let (side, fields) = rest.split_first().ok_or(DecodeError::Truncated)?;
        let side = match (*side, is_first) {
            (0, true) | (2, false) => Side::Right,
            (1, true) | (0, false) => Side::Left,
            (END, false) if fields.is_empty() => return Ok(None),
            _ => return Err(DecodeError::Malformed("no position")),
        };
        let upright = |byte: u8| if side == Side::Right { !byte } else { byte };
        let (head, mut after) = fields.split_first_chunk::<17>().ok_or(DecodeError::Truncated)?;
        let head = head.map(upright);
        let number = |from: usize| head[from..from + 8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let mut offset = u32::from(head[16]);
        if head[16] >= OFFSET_LONG {
            let (long, end) = after.split_first_chunk::<4>().ok_or(DecodeError::Truncated)?;
            offset = u32::from_be_bytes(long.map(upright));
            after = end;
        }
        *rest = after;
        Ok(Some(Self { side, clock: Hlc::from_bits(number(0)), replica: ReplicaId::new(number(8)), offset }))
    }
}
