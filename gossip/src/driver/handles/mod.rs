//! The key space as a Rust program sees it that embeds a node: a typed handle per key.
//!
//! A handle is made of a key; making one reads and writes nothing. Reads answer from this node's own copy and never
//! create anything: a key that does not exist reads as the zero of the type. Writes are on their way to the peers when
//! they return. What concurrent writes come to is the same as for the daemon's commands, see `docs/data-types.md`.
//!
//! The same handles come from a [`Node`], where each write is a change of its own, and from a [`Group`], where all writes
//! become one.
//!
//! Keys, members, fields and values are bytes.

mod counter;
mod group;
mod key;
mod list;
mod map;
mod presence;
mod register;
mod set;
mod stream;
mod vote;

use thiserror::Error;

pub use counter::Counter;
pub use group::Group;
pub use key::Key;
pub use list::List;
pub use map::Map;
pub use presence::{Presence, PresenceGuard};
pub use register::Register;
pub use set::Set;
pub use stream::{Entry, Stream};
pub use vote::Vote;

use super::Node;
use crate::store::{Class, Moment, NotCounted, View, WriteError, Writer};

/// Why a handle could not do what was asked. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AccessError {
    /// The key holds something of another type.
    #[error("the key holds a value of type {found:?}, not {wanted:?}")]
    WrongType {
        /// What the handle is for.
        wanted: Class,
        /// What is there.
        found: Class,
    },
    /// The value is no number.
    #[error(transparent)]
    NotCounted(#[from] NotCounted),
    /// The write was refused.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl AccessError {
    /// What a write through a handle for `wanted` was refused for.
    fn of(wanted: Class, error: WriteError) -> Self {
        match error {
            WriteError::WrongType { found } => Self::WrongType { wanted, found },
            other => Self::Write(other),
        }
    }
}

/// What a handle works on: a [`Node`], or a [`Group`] of writes under way at one.
pub trait Access: sealed::Sealed {
    /// Runs `f` on the store as it is now.
    #[doc(hidden)]
    fn read<R>(&self, f: impl FnOnce(Moment<'_>) -> R) -> R;

    /// Runs `f` with write access; `bytes` estimates the keys and values written.
    #[doc(hidden)]
    fn write<R>(&self, bytes: usize, f: impl FnOnce(&mut Writer<'_>) -> R) -> R;

    /// Adds to the number at `key`.
    #[doc(hidden)]
    fn add(&self, key: &[u8], delta: i64) -> Result<i64, WriteError>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Node {}
    impl Sealed for &super::Group<'_, '_> {}
}

impl Access for Node {
    fn read<R>(&self, f: impl FnOnce(Moment<'_>) -> R) -> R {
        self.read_now(|replica, now| f(replica.store().at(now.wall)))
    }

    fn write<R>(&self, bytes: usize, f: impl FnOnce(&mut Writer<'_>) -> R) -> R {
        self.write(bytes, f)
    }

    fn add(&self, key: &[u8], delta: i64) -> Result<i64, WriteError> {
        self.shared().add(key, delta)
    }
}

/// The value at `key`, if it is of this class; `None` if there is none.
fn typed<'s>(moment: Moment<'s>, key: &'s [u8], wanted: Class) -> Result<Option<View<'s>>, AccessError> {
    match moment.view(key) {
        Some(view) if view.class() != wanted => Err(AccessError::WrongType { wanted, found: view.class() }),
        view => Ok(view),
    }
}

impl Node {
    /// A key as such, whatever it holds.
    pub fn key(&self, key: impl AsRef<[u8]>) -> Key {
        Key::new(self.clone(), key.as_ref())
    }

    /// A number that is added to; 0 where there is none.
    pub fn counter(&self, key: impl AsRef<[u8]>) -> Counter {
        Counter::new(self.clone(), key.as_ref())
    }

    /// A value that is replaced as a whole.
    pub fn register(&self, key: impl AsRef<[u8]>) -> Register {
        Register::new(self.clone(), key.as_ref())
    }

    /// A set in which adding wins.
    pub fn set(&self, key: impl AsRef<[u8]>) -> Set {
        Set::new(self.clone(), key.as_ref())
    }

    /// Fields, each a value or a counter.
    pub fn map(&self, key: impl AsRef<[u8]>) -> Map {
        Map::new(self.clone(), key.as_ref())
    }

    /// Entries in the order of their ids, which readers follow.
    pub fn stream(&self, key: impl AsRef<[u8]>) -> Stream {
        Stream::new(self.clone(), key.as_ref())
    }

    /// Byte strings in an order.
    pub fn list(&self, key: impl AsRef<[u8]>) -> List {
        List::new(self.clone(), key.as_ref())
    }

    /// A ballot per replica, counted over those that are alive.
    pub fn vote(&self, key: impl AsRef<[u8]>) -> Vote {
        Vote::new(self.clone(), key.as_ref())
    }

    /// Who is here: a count of guards over the replicas that are alive.
    pub fn presence(&self, key: impl AsRef<[u8]>) -> Presence {
        Presence::new(self.clone(), key.as_ref())
    }

    /// Deletes a key, of whatever type: all that this node has seen of it. Says whether there was one.
    ///
    /// # Errors
    /// The clock is too far ahead of the cluster's.
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Result<bool, AccessError> {
        Ok(self.write(key.as_ref().len(), |writer| writer.delete(key.as_ref()))?)
    }

    /// Several writes as one change: other nodes see all of them or none.
    ///
    /// This is the one way to group writes. Handles made by the [`Group`] read what it has written already. What was
    /// written before an error is not taken back; so ask first what could fail. `f` runs with everything else of this
    /// node at a standstill: keep it short, and use no handle of the node itself in it (that would wait for ever).
    ///
    /// ```
    /// # use cahoots_gossip::driver::{AccessError, Node, NodeConfig};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let node = Node::start(NodeConfig::new("alpha", "127.0.0.1:0".parse()?)).await?;
    /// let orders = node.group(|group| {
    ///     group.map("order:7").set("state", "paid")?;
    ///     group.set("orders:open").remove("7")?;
    ///     group.counter("orders:paid").add(1)
    /// })?;
    /// assert_eq!(orders, 1);
    /// # Ok(()) }
    /// ```
    pub fn group<R>(&self, f: impl FnOnce(&Group<'_, '_>) -> R) -> R {
        self.write(0, |writer| f(&Group::new(writer)))
    }
}
