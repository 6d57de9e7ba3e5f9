//! Builds an encoding: the body first, then the table of replicas it turned out to need.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use serde::Serialize;

use super::{EncodeError, VERSION};
use crate::{CausalContext, Dot, DotFun, ReplicaId, Size};

/// Collects the parts of an encoding.
#[derive(Debug, Default)]
pub struct Writer {
    body: Vec<u8>,
    data: usize,
    ids: Vec<ReplicaId>,
    indices: BTreeMap<ReplicaId, usize>,
    latest: Option<(ReplicaId, usize)>,
}

impl Writer {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// An unsigned integer, 1 byte for every 7 bits.
    pub fn integer(&mut self, value: impl Into<u128>) {
        let mut rest = value.into();
        loop {
            let low = (rest & 0x7f) as u8;
            rest >>= 7;
            if rest == 0 {
                self.body.push(low);
                return;
            }
            self.body.push(low | 0x80);
        }
    }

    /// A signed integer, small when close to zero.
    pub fn signed(&mut self, value: i128) {
        let zigzag = (value << 1) ^ (value >> 127);
        self.integer(zigzag.cast_unsigned());
    }

    /// How many entries follow.
    pub fn count(&mut self, count: usize) {
        // usize is at most 64 bits wide everywhere.
        self.integer(count as u64);
    }

    /// A yes or no.
    pub fn flag(&mut self, flag: bool) {
        self.body.push(u8::from(flag));
    }

    /// A member, key or value of the user.
    ///
    /// # Errors
    /// When it refuses to be serialised.
    pub fn payload<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        let before = self.body.len();
        self.body = postcard::to_extend(value, core::mem::take(&mut self.body)).map_err(EncodeError::Payload)?;
        self.data += self.body.len() - before;
        Ok(())
    }

    /// A member or key that was serialised before, to be sorted by.
    pub(crate) fn payload_bytes(&mut self, bytes: &[u8]) {
        self.body.extend_from_slice(bytes);
        self.data += bytes.len();
    }

    /// A replica, as an index into the table.
    pub fn replica(&mut self, id: ReplicaId) {
        let index = match self.latest {
            Some((latest, index)) if latest == id => index,
            _ => *self.indices.entry(id).or_insert_with(|| {
                self.ids.push(id);
                self.ids.len() - 1
            }),
        };
        self.latest = Some((id, index));
        self.count(index);
    }

    /// A dot.
    pub fn dot(&mut self, dot: Dot) {
        self.replica(dot.replica);
        self.integer(dot.seq);
    }

    /// The cells of a dot function, each written by `value`.
    ///
    /// # Errors
    /// Those of `value`.
    pub fn cells<V>(
        &mut self,
        cells: &DotFun<V>,
        mut value: impl FnMut(&mut Self, &V) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.count(cells.len());
        for (dot, cell) in cells.iter() {
            self.dot(dot);
            value(self, cell)?;
        }
        Ok(())
    }

    pub(super) fn context(&mut self, context: &CausalContext) {
        self.count(context.version_vector().len());
        for (replica, last) in context.version_vector().iter() {
            self.replica(replica);
            self.integer(last);
        }
        self.count(context.cloud().len());
        for run in context.cloud() {
            self.replica(run.replica);
            self.integer(run.first);
            self.integer(run.last - run.first);
        }
    }

    pub(super) fn finish(self) -> (Vec<u8>, Size) {
        let mut head = Self::new();
        head.body.reserve(self.body.len() + 8 * self.ids.len() + 8);
        head.body.push(VERSION);
        head.count(self.ids.len());
        for id in &self.ids {
            head.body.extend_from_slice(&id.get().to_be_bytes());
        }
        head.body.extend_from_slice(&self.body);
        let size = Size { metadata: head.body.len() - self.data, data: self.data };
        (head.body, size)
    }
}

/// The serialised form of a key, to sort by.
pub(crate) fn key_bytes<T: Serialize + ?Sized>(key: &T) -> Result<Vec<u8>, EncodeError> {
    postcard::to_allocvec(key).map_err(EncodeError::Payload)
}
