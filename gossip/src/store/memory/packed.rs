//! Elements as they lie in memory: one after the other, without padding, pointers or room to spare.
//!
//! A cell costs a replica id of 8 bytes, a clock of 8 and a seq of 3 or 4, which is more than many a value. Cells of one
//! key that were written together, or by one replica, say so instead: the fields of a hash written by one command cost
//! no byte for their dots but the first.
//!
//! Layout of an element: a head byte (class; shape and form of the first cell); the name, where the class has names; then
//! one register, or one count, or the number of registers, each with a byte for its form, and the same of counts. A
//! cell: what its form says of the dot and the clock, then length and bytes of a value, or age and total of a count.

use cahoots_crdt::{Dot, DotFun, ReplicaId};

use crate::Hlc;
use crate::store::cell::{Count, Element, Register};
use crate::store::cell::{lifetime, score};
use crate::store::kind::{CLASS_BITS, Class};
use crate::varint;

/// What an element consists of. Of one cell the form follows in the same number, of many each cell has a byte for it.
const ONE_REGISTER: u8 = 0;
const ONE_COUNT: u8 = ONE_REGISTER + FORMS;
const MANY: u8 = ONE_COUNT + FORMS;

/// How a cell says its dot and clock: those of the cell before it; of the same replica, and how far both are from those;
/// in full.
const SAME: u8 = 0;
const NEAR: u8 = 1;
const FULL: u8 = 2;
const FORMS: u8 = 3;

const CLASS_MASK: u8 = (1 << CLASS_BITS) - 1;
const _: () = assert!(MANY < 1 << (u8::BITS - CLASS_BITS), "a head byte holds a class and a shape");

/// Appends one element without its name, unless it is empty.
pub(in crate::store) fn pack_one(class: Class, element: &Element<'_>, bytes: &mut Vec<u8>) {
    if !element.is_empty() {
        Packer::new(bytes).element(class, None, element);
    }
}

/// Appends to an element that has a score, packed by [`pack_one`], where it is ordered: unless it is one register, which
/// says that itself. Reading an element does not come to what is behind it.
pub(in crate::store) fn append_rank(bytes: &mut Vec<u8>, score_of: impl FnOnce(&Element<'_>) -> f64) {
    if bytes.first().is_some_and(|head| head >> CLASS_BITS >= ONE_COUNT) {
        let rank = score::rank_of(score_of(&Packed::new(bytes).first()));
        bytes.extend_from_slice(&rank.to_be_bytes());
    }
}

/// Where an element of a class that is ranked is ordered: one with a score as [`append_rank`] has left it, one that says
/// deadlines by the first of them, if it says one.
pub(in crate::store) fn rank_of(packed: &[u8]) -> Option<u64> {
    let head = packed.first()?;
    if let Some(class) = Class::from_code(head & CLASS_MASK).filter(|class| class.is_attribute()) {
        return lifetime::deadlines_of(class, &Packed::new(packed).first()).min();
    }
    let last = *packed.last_chunk()?;
    Some(if head >> CLASS_BITS >= ONE_COUNT { u64::from_be_bytes(last) } else { score::rank_of_bits(last) })
}

/// Appends elements of one key to `bytes`, each with what the one before it has made known.
pub(in crate::store) struct Packer<'b> {
    bytes: &'b mut Vec<u8>,
    last: Option<(Dot, Hlc)>,
}

impl<'b> Packer<'b> {
    pub(in crate::store) fn new(bytes: &'b mut Vec<u8>) -> Self {
        Self { bytes, last: None }
    }

    /// Goes on behind a cell of this dot and clock.
    pub(in crate::store) fn after(bytes: &'b mut Vec<u8>, last: Option<(Dot, Hlc)>) -> Self {
        Self { bytes, last }
    }

    /// The dot and the clock of the last cell.
    pub(in crate::store) fn last_cell(&self) -> Option<(Dot, Hlc)> {
        self.last
    }

    /// Appends one that is not empty, without its name.
    pub(in crate::store) fn push_alone(&mut self, class: Class, element: &Element<'_>) {
        self.element(class, None, element);
    }

    /// Appends one that is not empty.
    pub(in crate::store) fn push(&mut self, class: Class, name: &[u8], element: &Element<'_>) {
        self.element(class, class.has_names().then_some(name), element);
    }

    /// What was appended to.
    pub(in crate::store) fn end(self) -> &'b mut Vec<u8> {
        self.bytes
    }

    fn element(&mut self, class: Class, name: Option<&[u8]>, element: &Element<'_>) {
        let (registers, counts) = (element.value.len(), element.counts.len());
        let (shape, first) = match (registers, counts) {
            (1, 0) => (ONE_REGISTER, element.value.iter().map(|(dot, it)| (dot, it.clock)).next()),
            (0, 1) => (ONE_COUNT, element.counts.iter().map(|(dot, it)| (dot, it.clock)).next()),
            _ => (MANY, None),
        };
        let form = first.map_or(SAME, |(dot, clock)| self.form(dot, clock));
        self.bytes.push(class as u8 | (shape + form) << CLASS_BITS);
        if let Some(name) = name {
            varint::put_len(name.len(), self.bytes);
            self.bytes.extend_from_slice(name);
        }
        if shape == MANY {
            varint::put_len(registers, self.bytes);
        }
        for (dot, register) in element.value.iter() {
            self.cell(shape, dot, register.clock);
            varint::put_len(register.value.len(), self.bytes);
            self.bytes.extend_from_slice(register.value);
        }
        if shape == MANY {
            varint::put_len(counts, self.bytes);
        }
        for (dot, count) in element.counts.iter() {
            self.cell(shape, dot, count.clock);
            varint::put(dot.seq - count.birth.min(dot.seq), self.bytes);
            match i64::try_from(count.total) {
                _ if class.is_scored() => varint::put_fraction(count.total, self.bytes),
                Ok(total) if total != i64::MIN => varint::put_signed(total, self.bytes),
                _ => {
                    // The one number that no small total is written as says that all 128 bits follow.
                    varint::put_signed(i64::MIN, self.bytes);
                    self.bytes.extend_from_slice(&count.total.to_le_bytes());
                }
            }
        }
    }

    fn form(&self, dot: Dot, clock: Hlc) -> u8 {
        match self.last {
            Some(last) if last == (dot, clock) => SAME,
            Some((last, _)) if last.replica == dot.replica => NEAR,
            _ => FULL,
        }
    }

    fn cell(&mut self, shape: u8, dot: Dot, clock: Hlc) {
        let form = self.form(dot, clock);
        if shape == MANY {
            self.bytes.push(form);
        }
        match (form, self.last) {
            (NEAR, Some((last, last_clock))) => {
                varint::put_signed(dot.seq.wrapping_sub(last.seq).cast_signed(), self.bytes);
                varint::put_signed(clock.get().wrapping_sub(last_clock.get()).cast_signed(), self.bytes);
            }
            (FULL, _) => {
                self.bytes.extend_from_slice(&dot.replica.get().to_le_bytes());
                varint::put(dot.seq, self.bytes);
                self.bytes.extend_from_slice(&clock.get().to_le_bytes());
            }
            _ => {}
        }
        self.last = Some((dot, clock));
    }
}

/// The elements that a [`Packer`] has packed.
#[derive(Clone, Copy)]
pub(in crate::store) struct Packed<'a> {
    bytes: &'a [u8],
    last: (Dot, Hlc),
}

impl<'a> Packed<'a> {
    pub(in crate::store) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, last: (Dot::new(ReplicaId::new(0), 0), Hlc::new(0)) }
    }

    /// Behind a cell of this dot and clock.
    pub(in crate::store) fn after(bytes: &'a [u8], last: Option<(Dot, Hlc)>) -> Self {
        Self { bytes, last: last.unwrap_or(Self::new(&[]).last) }
    }

    /// The dot and the clock of the last cell.
    pub(in crate::store) fn last_cell(&self) -> (Dot, Hlc) {
        self.last
    }

    /// What has not been read yet.
    pub(in crate::store) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// The next element, packed without its name.
    pub(in crate::store) fn next_alone(&mut self) -> (Class, Element<'a>) {
        let [head] = self.array();
        (Class::from_code(head & CLASS_MASK).expect("it was packed"), self.element(head))
    }

    /// The first element, of a class without names or packed by [`pack_one`].
    #[inline]
    pub(in crate::store) fn first(mut self) -> Element<'a> {
        let [head] = self.array();
        self.element(head)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.bytes.split_first_chunk().expect("it was packed");
        self.bytes = rest;
        *head
    }

    #[inline]
    fn slice(&mut self, len: usize) -> &'a [u8] {
        let (head, rest) = self.bytes.split_at(len);
        self.bytes = rest;
        head
    }

    #[inline]
    fn cell(&mut self, form: u8) -> (Dot, Hlc) {
        match form {
            NEAR => {
                let (last, last_clock) = self.last;
                let seq = last.seq.wrapping_add_signed(varint::take_signed(&mut self.bytes));
                let clock = last_clock.get().wrapping_add_signed(varint::take_signed(&mut self.bytes));
                self.last = (Dot::new(last.replica, seq), Hlc::new(clock));
            }
            FULL => {
                let replica = ReplicaId::new(u64::from_le_bytes(self.array()));
                let seq = varint::take(&mut self.bytes);
                self.last = (Dot::new(replica, seq), Hlc::new(u64::from_le_bytes(self.array())));
            }
            _ => {}
        }
        self.last
    }

    /// The cells of an element with this head byte.
    #[inline]
    fn element(&mut self, head: u8) -> Element<'a> {
        let mut element = Element::default();
        match head >> CLASS_BITS {
            form @ ..ONE_COUNT => {
                let (dot, register) = self.register(form);
                element.value = DotFun::of(dot, register);
            }
            shape @ ..MANY => {
                let (dot, count) = self.count(head, shape - ONE_COUNT);
                element.counts = DotFun::of(dot, count);
            }
            _ => {
                for _ in 0..varint::take_len(&mut self.bytes) {
                    let [form] = self.array();
                    let (dot, register) = self.register(form);
                    element.value.insert(dot, register);
                }
                for _ in 0..varint::take_len(&mut self.bytes) {
                    let [form] = self.array();
                    let (dot, count) = self.count(head, form);
                    element.counts.insert(dot, count);
                }
            }
        }
        element
    }

    #[inline]
    fn register(&mut self, form: u8) -> (Dot, Register<'a>) {
        let (dot, clock) = self.cell(form);
        let len = varint::take_len(&mut self.bytes);
        (dot, Register { clock, value: self.slice(len) })
    }

    #[inline]
    fn count(&mut self, head: u8, form: u8) -> (Dot, Count) {
        let (dot, clock) = self.cell(form);
        let birth = dot.seq - varint::take(&mut self.bytes);
        let total = if Class::from_code(head & CLASS_MASK).is_some_and(Class::is_scored) {
            varint::take_fraction(&mut self.bytes)
        } else {
            match varint::take_signed(&mut self.bytes) {
                i64::MIN => i128::from_le_bytes(self.array()),
                total => total.into(),
            }
        };
        (dot, Count { clock, birth, total })
    }
}

impl<'a> Iterator for Packed<'a> {
    type Item = (Class, &'a [u8], Element<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (&head, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        let class = Class::from_code(head & CLASS_MASK).expect("it was packed");
        let name_len = if class.has_names() { varint::take_len(&mut self.bytes) } else { 0 };
        let name = self.slice(name_len);
        Some((class, name, self.element(head)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Numbers as they occur and numbers at the ends.
    fn integer() -> impl Strategy<Value = u64> {
        prop_oneof![0..5_u64, any::<u64>(), Just(u64::MAX)]
    }

    fn dot() -> impl Strategy<Value = Dot> {
        (0..3_u64, prop_oneof![1..5_u64, Just(Dot::SEQ_MAX)])
            .prop_map(|(replica, seq)| Dot::new(ReplicaId::new(replica.wrapping_sub(1)), seq))
    }

    type Cells = (Vec<(Dot, u64, Vec<u8>)>, Vec<(Dot, u64, u64, i128)>);

    fn cells() -> impl Strategy<Value = Cells> {
        let register = (dot(), integer(), prop::collection::vec(any::<u8>(), 0..200));
        let total = prop_oneof![-5..5_i128, any::<i128>(), Just(i64::MIN.into()), Just(i128::MIN)];
        let count = (dot(), integer(), integer(), total);
        let some = (prop::collection::vec(register, 0..3), prop::collection::vec(count, 0..3));
        some.prop_filter("not empty", |(registers, counts)| registers.len() + counts.len() > 0)
    }

    fn element((registers, counts): &Cells) -> Element<'_> {
        let mut element = Element::default();
        for (dot, clock, value) in registers {
            element.value.insert(*dot, Register { clock: Hlc::new(*clock), value });
        }
        for (dot, clock, age, total) in counts {
            let birth = 1 + age % dot.seq;
            element.counts.insert(*dot, Count { clock: Hlc::new(*clock), birth, total: *total });
        }
        element
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(
            all in prop::collection::vec((0..12_u8, prop::collection::vec(any::<u8>(), 0..150), cells()), 1..8)
        ) {
            let mut bytes = Vec::new();
            let mut packer = Packer::new(&mut bytes);
            let mut expected = Vec::new();
            for (class, name, cells) in &all {
                let class = Class::from_code(*class).unwrap();
                let name = if class.has_names() { &name[..] } else { b"" };
                packer.push(class, name, &element(cells));
                expected.push((class, name, element(cells)));
            }
            prop_assert_eq!(Packed::new(&bytes).collect::<Vec<_>>(), expected);
            for (class, _, cells) in &all {
                let mut bytes = Vec::new();
                pack_one(Class::from_code(*class).unwrap(), &element(cells), &mut bytes);
                prop_assert_eq!(Packed::new(&bytes).first(), element(cells));
            }
        }
    }

    /// A whole number added to a score has 64 zero bits at its end.
    #[test]
    fn an_increment_of_a_score_costs_its_digits_and_other_totals_cost_what_they_did() {
        let packed = |class, total: i128| {
            let count = Count { clock: Hlc::new(1), birth: 1, total };
            let counts = DotFun::of(Dot::new(ReplicaId::new(1), 1), count);
            let mut bytes = Vec::new();
            pack_one(class, &Element { counts, ..Element::default() }, &mut bytes);
            bytes.len() - (1 + 8 + 1 + 8 + 1)
        };
        let score = |score| packed(Class::Sorted, score::to_units(score).unwrap());
        assert_eq!([score(0.0), score(1.0), score(0.5), score(-3.0), score(1000.0), score(0.1)], [2, 2, 2, 2, 3, 9]);
        let text = |total| packed(Class::Text, total);
        assert_eq!([text(0), text(1), text(1 << 20), text(1 << 70)], [1, 1, 4, 26]);
    }

    #[test]
    fn cells_cost_what_is_new_about_them() {
        let packed = |elements: &[(&str, u64, u64)]| {
            let mut bytes = Vec::new();
            let mut packer = Packer::new(&mut bytes);
            for (name, seq, clock) in elements {
                let register = Register { clock: Hlc::new(1 << 60 | clock), value: b"12345" };
                let value = DotFun::of(Dot::new(ReplicaId::new(u64::MAX), *seq), register);
                packer.push(Class::Hash, name.as_bytes(), &Element { value, ..Element::default() });
            }
            bytes.len()
        };
        let first = packed(&[("one", 70_000, 0)]);
        assert_eq!(first, 1 + 1 + 3 + (8 + 3 + 8) + 1 + 5);
        assert_eq!(packed(&[("one", 70_000, 0), ("two", 70_000, 0)]) - first, 1 + 1 + 3 + 1 + 5, "of one command");
        assert_eq!(packed(&[("one", 70_000, 0), ("two", 70_003, 9)]) - first, 1 + 1 + 3 + 2 + 1 + 5, "of one replica");
    }
}
