//! Several writes as one change.

use std::cell::RefCell;

use super::{Access, AccessError, Counter, Key, List, Map, Register, Set, Stream, Vote};
use crate::store::{Moment, WriteError, Writer};

/// Writes under way that become one change: see [`Node::group`](crate::driver::Node::group).
#[derive(Debug)]
pub struct Group<'a, 'w> {
    writer: RefCell<&'a mut Writer<'w>>,
}

impl<'a, 'w> Group<'a, 'w> {
    pub(super) fn new(writer: &'a mut Writer<'w>) -> Self {
        Self { writer: RefCell::new(writer) }
    }

    /// As [`Node::key`](crate::driver::Node::key).
    pub fn key(&self, key: impl AsRef<[u8]>) -> Key<&Self> {
        Key::new(self, key.as_ref())
    }

    /// As [`Node::counter`](crate::driver::Node::counter).
    pub fn counter(&self, key: impl AsRef<[u8]>) -> Counter<&Self> {
        Counter::new(self, key.as_ref())
    }

    /// As [`Node::register`](crate::driver::Node::register).
    pub fn register(&self, key: impl AsRef<[u8]>) -> Register<&Self> {
        Register::new(self, key.as_ref())
    }

    /// As [`Node::set`](crate::driver::Node::set).
    pub fn set(&self, key: impl AsRef<[u8]>) -> Set<&Self> {
        Set::new(self, key.as_ref())
    }

    /// As [`Node::map`](crate::driver::Node::map).
    pub fn map(&self, key: impl AsRef<[u8]>) -> Map<&Self> {
        Map::new(self, key.as_ref())
    }

    /// As [`Node::stream`](crate::driver::Node::stream).
    pub fn stream(&self, key: impl AsRef<[u8]>) -> Stream<&Self> {
        Stream::new(self, key.as_ref())
    }

    /// As [`Node::list`](crate::driver::Node::list).
    pub fn list(&self, key: impl AsRef<[u8]>) -> List<&Self> {
        List::new(self, key.as_ref())
    }

    /// As [`Node::vote`](crate::driver::Node::vote).
    pub fn vote(&self, key: impl AsRef<[u8]>) -> Vote<&Self> {
        Vote::new(self, key.as_ref())
    }

    /// As [`Node::delete`](crate::driver::Node::delete).
    ///
    /// # Errors
    /// The clock is too far ahead of the cluster's.
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Result<bool, AccessError> {
        Ok(self.writer.borrow_mut().delete(key.as_ref())?)
    }
}

impl Access for &Group<'_, '_> {
    fn read<R>(&self, f: impl FnOnce(Moment<'_>) -> R) -> R {
        f(self.writer.borrow().moment())
    }

    fn write<R>(&self, _: usize, f: impl FnOnce(&mut Writer<'_>) -> R) -> R {
        f(&mut self.writer.borrow_mut())
    }

    fn add(&self, key: &[u8], delta: i64) -> Result<i64, WriteError> {
        self.writer.borrow_mut().add(key, delta)
    }
}
