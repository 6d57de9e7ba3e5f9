//! A composition as a user writes it: a record of three types under names of its own, nestable like any other.

use std::collections::BTreeMap;
use std::rc::Rc;

use cahoots_crdt::wire::{Reader, Writer};
use cahoots_crdt::{
    AwSet, Causal, CausalContext, DecodeError, Dot, DotStore, EncodeError, Mutation, PnCounter, ReplicaId, Reset,
    RwSet, VersionVector, Wire,
};
use proptest::prelude::*;

use super::subjects::{AwSets, PnCounters, RwSets, SetOp};
use super::{Subject, Value, View};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    stock: PnCounter,
    tags: AwSet<u8>,
    allowed: RwSet<u8>,
}

impl DotStore for Record {
    const LEAVES_RESIDUE: bool = true;

    fn nothing() -> Self {
        Self { stock: DotStore::nothing(), tags: DotStore::nothing(), allowed: DotStore::nothing() }
    }

    fn is_bottom(&self) -> bool {
        self.stock.is_bottom() && self.tags.is_bottom() && self.allowed.is_bottom()
    }

    fn has_dots(&self) -> bool {
        self.stock.has_dots() || self.tags.has_dots() || self.allowed.has_dots()
    }

    fn is_live(&self) -> bool {
        self.stock.is_live() || self.tags.is_live() || self.allowed.is_live()
    }

    fn join(&mut self, mine: &CausalContext, other: Self, theirs: &CausalContext) {
        self.stock.join(mine, other.stock, theirs);
        self.tags.join(mine, other.tags, theirs);
        self.allowed.join(mine, other.allowed, theirs);
    }

    fn forget(&mut self, context: &CausalContext) {
        self.stock.forget(context);
        self.tags.forget(context);
        self.allowed.forget(context);
    }

    fn make_whole(&mut self) {
        self.stock.make_whole();
        self.tags.make_whole();
        self.allowed.make_whole();
    }

    fn for_each_dot(&self, visit: &mut dyn FnMut(Dot)) {
        self.stock.for_each_dot(visit);
        self.tags.for_each_dot(visit);
        self.allowed.for_each_dot(visit);
    }

    fn since(&self, seen: &VersionVector) -> Self {
        Self { stock: self.stock.since(seen), tags: self.tags.since(seen), allowed: self.allowed.since(seen) }
    }

    fn atoms(self, emit: &mut dyn FnMut(Self)) {
        self.stock.atoms(&mut |stock| emit(Self { stock, ..Self::nothing() }));
        self.tags.atoms(&mut |tags| emit(Self { tags, ..Self::nothing() }));
        self.allowed.atoms(&mut |allowed| emit(Self { allowed, ..Self::nothing() }));
    }

    fn strip(&mut self) {
        self.stock.strip();
        self.tags.strip();
        self.allowed.strip();
    }

    fn collect(&mut self, owner: ReplicaId, acked: &CausalContext, mine: &CausalContext) {
        self.stock.collect(owner, acked, mine);
    }
}

impl Reset for Record {
    fn reset(&mut self, mutation: &mut Mutation<'_>, event: Dot) -> Self {
        Self {
            stock: self.stock.reset(mutation, event),
            tags: self.tags.reset(mutation, event),
            allowed: self.allowed.reset(mutation, event),
        }
    }
}

impl Wire for Record {
    fn encode_to(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        self.stock.encode_to(writer)?;
        self.tags.encode_to(writer)?;
        self.allowed.encode_to(writer)
    }

    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let stock = Wire::decode_from(reader)?;
        Ok(Self { stock, tags: Wire::decode_from(reader)?, allowed: Wire::decode_from(reader)? })
    }
}

#[derive(Clone, Debug)]
pub enum RecordOp {
    Stock(i64),
    Tag(SetOp),
    Allow(SetOp),
    /// Two changes in one closure.
    Both(i64, SetOp),
}

impl RecordOp {
    fn stock(&self) -> Option<i64> {
        if let Self::Stock(amount) | Self::Both(amount, _) = self { Some(*amount) } else { None }
    }

    fn tag(&self) -> Option<SetOp> {
        if let Self::Tag(op) = self { Some(op.clone()) } else { None }
    }

    fn allow(&self) -> Option<SetOp> {
        if let Self::Allow(op) | Self::Both(_, op) = self { Some(op.clone()) } else { None }
    }
}

pub struct Records;

fn part<O>(view: &View<RecordOp>, pick: impl Fn(&RecordOp) -> Option<O>) -> View<O> {
    let ops = view.ops.iter().filter_map(|(id, author, op)| Some((*id, *author, pick(op)?))).collect();
    View { ops, resets: view.resets.clone(), seen: Rc::clone(&view.seen) }
}

impl Subject for Records {
    type Store = Record;
    type Op = RecordOp;
    const LEAVES_BASELINES: bool = true;

    fn op() -> BoxedStrategy<RecordOp> {
        prop_oneof![
            PnCounters::op().prop_map(RecordOp::Stock),
            AwSets::op().prop_map(RecordOp::Tag),
            RwSets::op().prop_map(RecordOp::Allow),
            (1..5_i64, RwSets::op()).prop_map(|(amount, op)| RecordOp::Both(amount, op)),
        ]
        .boxed()
    }

    fn apply(record: &mut Record, mutation: &mut Mutation<'_>, op: &RecordOp) -> Record {
        let stock = op.stock().map(|amount| PnCounters::apply(&mut record.stock, mutation, &amount));
        let mut delta = Record { stock: stock.unwrap_or_else(DotStore::nothing), ..Record::nothing() };
        if let Some(op) = op.tag() {
            delta = mutation.and(delta, |mutation| {
                let tags = AwSets::apply(&mut record.tags, mutation, &op);
                Record { tags, ..Record::nothing() }
            });
        }
        if let Some(op) = op.allow() {
            delta = mutation.and(delta, |mutation| {
                let allowed = RwSets::apply(&mut record.allowed, mutation, &op);
                Record { allowed, ..Record::nothing() }
            });
        }
        delta
    }

    fn read(record: &Record) -> Value {
        let parts = [PnCounters::read(&record.stock), AwSets::read(&record.tags), RwSets::read(&record.allowed)];
        fields(parts)
    }

    fn clear(state: &mut Causal<Record>, replica: ReplicaId) -> Option<Causal<Record>> {
        Some(state.clear(replica))
    }

    fn oracle(view: &View<RecordOp>) -> Value {
        let stock = PnCounters::oracle(&part(view, RecordOp::stock));
        let tags = AwSets::oracle(&part(view, RecordOp::tag));
        fields([stock, tags, RwSets::oracle(&part(view, RecordOp::allow))])
    }

    fn is_event(view: &View<RecordOp>, author: usize, op: &RecordOp) -> bool {
        op.stock().is_some_and(|op| PnCounters::is_event(&part(view, RecordOp::stock), author, &op))
            || op.tag().is_some_and(|op| AwSets::is_event(&part(view, RecordOp::tag), author, &op))
            || op.allow().is_some_and(|op| RwSets::is_event(&part(view, RecordOp::allow), author, &op))
    }
}

fn fields(parts: [Value; 3]) -> Value {
    let shown: BTreeMap<u8, Value> = (0..).zip(parts).filter(|(_, part)| *part != Value::Nothing).collect();
    if shown.is_empty() { Value::Nothing } else { Value::Map(shown) }
}
