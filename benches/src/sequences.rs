//! One way to drive the lists of four libraries, letter by letter, each through the interface its documentation shows.
//!
//! `diamond-types` knows text only. The others hold a number for each letter: a `u32` here, an `Any` in `yrs`, a register
//! in `dson`.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};

use cahoots_crdt::{Causal, Hlc, Lattice, List, ReplicaId};
use diamond_types::list::ListCRDT;
use dson::crdts::NoExtensionTypes;
use dson::crdts::mvreg::MvRegValue;
use dson::crdts::snapshot::ToValue;
use dson::{CausalDotStore, Identifier, OrArray};
use yrs::updates::decoder::Decode;
use yrs::{Any, Array, ArrayRef, Doc, Number, Out, ReadTxn, Transact, Update};

/// A library's list, as one replica has it.
pub trait Sequence {
    /// What to send after a change; nothing where the other replica is asked for what is new.
    type Change;
    /// The library's name.
    const NAME: &'static str;

    /// The empty list of the `n`-th replica.
    fn new(n: u8) -> Self;
    /// Puts a letter before the one at `index`, or at the end.
    fn insert(&mut self, index: usize, letter: u8) -> Self::Change;
    /// Removes the letter at `index`.
    fn remove(&mut self, index: usize) -> Self::Change;
    /// Merges what is new at another replica, which sends `changes`.
    fn merge(&mut self, other: &Self, changes: Vec<Self::Change>);
    /// The letters in order.
    fn letters(&self) -> Vec<u8>;
}

fn letter(number: u64) -> u8 {
    u8::try_from(number).expect("letters are bytes")
}

/// Ours.
pub struct Ours {
    list: Causal<List<u32>>,
    replica: ReplicaId,
}

/// The time: one for all replicas, so that what they do at once is stamped in turns.
fn now() -> Hlc {
    static NOW: AtomicU64 = AtomicU64::new(1);
    Hlc::new(NOW.fetch_add(1, Ordering::Relaxed), 0)
}

impl Sequence for Ours {
    type Change = Causal<List<u32>>;
    const NAME: &'static str = "cahoots";

    fn new(n: u8) -> Self {
        Self { list: Causal::new(), replica: ReplicaId::new(u64::from(n) + 1) }
    }

    fn insert(&mut self, index: usize, letter: u8) -> Self::Change {
        let (at, value) = (self.replica, u32::from(letter));
        let put =
            if index == 0 { self.list.push_front(at, now(), value) } else { self.list.insert(at, now(), index, value) };
        put.expect("it is in range, later than all, and not deep")
    }

    fn remove(&mut self, index: usize) -> Self::Change {
        self.list.remove(self.replica, index).expect("it is in range")
    }

    fn merge(&mut self, _: &Self, changes: Vec<Self::Change>) {
        for change in changes {
            self.list.merge(change);
        }
    }

    fn letters(&self) -> Vec<u8> {
        self.list.iter().map(|number| letter(u64::from(*number))).collect()
    }
}

/// The array of `yrs`.
pub struct Yrs {
    doc: Doc,
    array: ArrayRef,
}

impl Sequence for Yrs {
    type Change = ();
    const NAME: &'static str = "yrs";

    fn new(n: u8) -> Self {
        let doc = Doc::with_client_id(u64::from(n) + 1);
        let array = doc.get_or_insert_array("list");
        Self { doc, array }
    }

    fn insert(&mut self, index: usize, letter: u8) {
        let index = u32::try_from(index).expect("short lists");
        self.array.insert(&mut self.doc.transact_mut(), index, u32::from(letter));
    }

    fn remove(&mut self, index: usize) {
        let index = u32::try_from(index).expect("short lists");
        self.array.remove(&mut self.doc.transact_mut(), index);
    }

    fn merge(&mut self, other: &Self, _: Vec<()>) {
        let seen = self.doc.transact().state_vector();
        let update = other.doc.transact().encode_diff_v1(&seen);
        let update = Update::decode_v1(&update).expect("it was just encoded");
        self.doc.transact_mut().apply_update(update).expect("it follows what is here");
    }

    fn letters(&self) -> Vec<u8> {
        let read = self.doc.transact();
        let letters = self.array.iter(&read).map(|out| match out {
            Out::Any(Any::Number(Number::Int(number))) => letter(number.cast_unsigned()),
            other => unreachable!("{other:?} is no letter"),
        });
        letters.collect()
    }
}

/// The text of `diamond-types`.
pub struct Diamond {
    text: ListCRDT,
    agent: u32,
}

impl Sequence for Diamond {
    type Change = ();
    const NAME: &'static str = "diamond-types";

    fn new(n: u8) -> Self {
        let mut text = ListCRDT::new();
        let agent = text.get_or_create_agent_id(&format!("agent {n}"));
        Self { text, agent }
    }

    fn insert(&mut self, index: usize, letter: u8) {
        self.text.insert(self.agent, index, char::from(letter).encode_utf8(&mut [0; 4]));
    }

    fn remove(&mut self, index: usize) {
        self.text.delete_without_content(self.agent, index..index + 1);
    }

    fn merge(&mut self, other: &Self, _: Vec<()>) {
        self.text.oplog.add_missing_operations_from(&other.text.oplog);
        let version = self.text.oplog.local_version();
        self.text.branch.merge(&self.text.oplog, &version);
    }

    fn letters(&self) -> Vec<u8> {
        self.text.branch.content().to_string().into_bytes()
    }
}

/// The array of `dson`.
pub struct Dson {
    array: CausalDotStore<OrArray<NoExtensionTypes>>,
    id: Identifier,
}

impl Dson {
    fn keep(&mut self, delta: CausalDotStore<OrArray<NoExtensionTypes>>) -> CausalDotStore<OrArray<NoExtensionTypes>> {
        self.array.join_or_replace_with(delta.store.clone(), &delta.context);
        delta
    }
}

impl Sequence for Dson {
    type Change = CausalDotStore<OrArray<NoExtensionTypes>>;
    const NAME: &'static str = "dson";

    fn new(n: u8) -> Self {
        Self { array: CausalDotStore::default(), id: Identifier::new(n, 0) }
    }

    fn insert(&mut self, index: usize, letter: u8) -> Self::Change {
        let write = |context: &_, id| {
            dson::api::register::write(MvRegValue::U64(letter.into()))(&dson::MvReg::default(), context, id)
        };
        let delta = dson::api::array::insert_register(write, index)(&self.array.store, &self.array.context, self.id);
        self.keep(delta)
    }

    fn remove(&mut self, index: usize) -> Self::Change {
        let delta = dson::api::array::delete(index)(&self.array.store, &self.array.context, self.id);
        self.keep(delta)
    }

    fn merge(&mut self, _: &Self, changes: Vec<Self::Change>) {
        for change in changes {
            self.array.join_or_replace_with(change.store, &change.context);
        }
    }

    fn letters(&self) -> Vec<u8> {
        let letters = self.array.store.with_list(|value, _, _| match value.reg.value() {
            Ok(MvRegValue::U64(number)) => Ok::<_, Infallible>(Some(letter(*number))),
            other => unreachable!("{other:?} is no letter"),
        });
        let Ok(letters) = letters;
        letters.into_iter().map(|(letter, ..)| letter).collect()
    }
}
