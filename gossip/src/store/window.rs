//! The flush window: local changes that share one open dot until it is sealed.
//!
//! Invariants (each rule broken gives a wrong value at some peer, see the directed histories in the tests):
//! - the frontier and the contexts are captured when an operation runs, not when the window is sealed;
//! - a context's own part is the last *sealed* seq, never the open one: the event writes cells itself, and
//!   what an operation removes of the window's own cells is simply not sent;
//! - nothing reads the store for replication while a window is open.

use cahoots_crdt::{Dot, ReplicaId};

use super::cell::{Class, Count, Dots, Path, hash_of};

/// What remains to be said about one operation when its window is sealed.
#[derive(Clone, Debug)]
pub(super) enum Record {
    Delete {
        context: Dots,
    },
    Remove {
        class: Class,
        name: Box<[u8]>,
        context: Dots,
    },
    Reset {
        class: Class,
        name: Box<[u8]>,
        owner: ReplicaId,
        birth: u64,
        seen: u64,
        total: i128,
    },
    /// The own register at this place is open: its value is read when the window is sealed.
    Assign {
        class: Class,
        name: Box<[u8]>,
    },
    /// The own counter slot at this place is open.
    Count {
        class: Class,
        name: Box<[u8]>,
        /// The sealed slot that it continues. Not sent: needed if the window is moved to another id.
        before: Option<(Dot, Count)>,
    },
    /// The own sealed counter slot at this place was removed. Not sent, as the own part of a context says it.
    OwnReset {
        class: Class,
        name: Box<[u8]>,
        before: (Dot, Count),
    },
    /// Ballots of others.
    Discard {
        class: Class,
        ballots: Vec<Dot>,
    },
}

impl Record {
    /// Superseding first, then writes; writes of one place side by side.
    pub(super) fn order(&self) -> (u8, Option<Class>, &[u8]) {
        match self {
            Self::Delete { .. } => (0, None, b""),
            Self::Remove { class, name, .. } => (1, Some(*class), name),
            Self::Reset { class, name, .. } => (2, Some(*class), name),
            Self::Assign { class, name } => (3, Some(*class), name),
            Self::Count { class, name, .. } => (4, Some(*class), name),
            Self::OwnReset { class, name, .. } => (5, Some(*class), name),
            Self::Discard { class, .. } => (6, Some(*class), b""),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Window {
    /// The seq of the open dot.
    pub(super) seq: u64,
    /// An upper estimate of the event's encoded size.
    pub(super) bytes: usize,
    /// With the hash and bytes of the key.
    pub(super) records: Vec<(u64, Box<[u8]>, Record)>,
    /// Per bucket touched: the frontier its operations saw.
    pub(super) names: Vec<(usize, Dots)>,
    /// Per bucket cleared: the context of the clearing.
    pub(super) cleared: Vec<(usize, Dots)>,
}

/// Encoded bytes of a dot at most (eight of the id, ten of the seq), and of a change's fixed parts.
const DOT_BYTES: usize = 18;
const CHANGE_BYTES: usize = 12;
/// A reset carries an id, two seqs and a 128-bit total.
const RESET_BYTES: usize = 48;

impl Window {
    pub(super) fn new(seq: u64) -> Self {
        Self { seq, bytes: 16, records: Vec::new(), names: Vec::new(), cleared: Vec::new() }
    }

    /// Notes that an operation ran in `bucket` while its frontier was `frontier`.
    pub(super) fn touch(&mut self, bucket: usize, frontier: &Dots, me: ReplicaId) {
        let names = match self.names.iter().position(|(it, _)| *it == bucket) {
            Some(at) => &mut self.names[at].1,
            None => {
                self.names.push((bucket, Dots::default()));
                self.bytes += CHANGE_BYTES;
                &mut self.names.last_mut().expect("just pushed").1
            }
        };
        let before = names.iter().len();
        frontier.iter().filter(|dot| dot.replica != me).for_each(|dot| names.raise(dot));
        self.bytes += (names.iter().len() - before) * DOT_BYTES;
    }

    pub(super) fn delete(&mut self, key: &[u8], context: Dots) {
        let bytes = CHANGE_BYTES + context.iter().len() * DOT_BYTES;
        self.push(key, bytes, Record::Delete { context });
    }

    pub(super) fn remove(&mut self, path: &Path<'_>, context: Dots) {
        let bytes = path.name.len() + CHANGE_BYTES + context.iter().len() * DOT_BYTES;
        self.push(path.key, bytes, Record::Remove { class: path.class, name: path.name.into(), context });
    }

    pub(super) fn reset(&mut self, path: &Path<'_>, observed: Dot, birth: u64, total: i128) {
        let (owner, seen) = (observed.replica, observed.seq);
        let record = Record::Reset { class: path.class, name: path.name.into(), owner, birth, seen, total };
        self.push(path.key, path.name.len() + RESET_BYTES, record);
    }

    pub(super) fn assign(&mut self, path: &Path<'_>, value_bytes: usize) {
        let record = Record::Assign { class: path.class, name: path.name.into() };
        self.push(path.key, path.name.len() + CHANGE_BYTES + value_bytes, record);
    }

    pub(super) fn count(&mut self, path: &Path<'_>, before: Option<(Dot, Count)>) {
        let record = Record::Count { class: path.class, name: path.name.into(), before };
        self.push(path.key, path.name.len() + CHANGE_BYTES + DOT_BYTES, record);
    }

    pub(super) fn own_reset(&mut self, path: &Path<'_>, before: (Dot, Count)) {
        self.push(path.key, 0, Record::OwnReset { class: path.class, name: path.name.into(), before });
    }

    pub(super) fn discard(&mut self, path: &Path<'_>, ballot: Dot) {
        let record = Record::Discard { class: path.class, ballots: vec![ballot] };
        self.push(path.key, CHANGE_BYTES + DOT_BYTES, record);
    }

    pub(super) fn clear(&mut self, bucket: usize, context: &Dots) {
        self.bytes += context.iter().len() * DOT_BYTES;
        match self.cleared.iter_mut().find(|(it, _)| *it == bucket) {
            Some((_, known)) => context.iter().for_each(|dot| known.raise(dot)),
            None => self.cleared.push((bucket, context.clone())),
        }
    }

    fn push(&mut self, key: &[u8], bytes: usize, record: Record) {
        self.bytes += key.len() + bytes;
        self.records.push((hash_of(key), key.into(), record));
    }

    /// Brings records of one key together, in the order events are written; drops second mentions of one write.
    pub(super) fn arrange(&mut self) {
        self.records.sort_by(|(a, key, x), (b, other, y)| (a, key, x.order()).cmp(&(b, other, y.order())));
        self.records.dedup_by(|(_, a, x), (_, b, y)| {
            let writes = matches!(x, Record::Assign { .. } | Record::Count { .. });
            writes && a == b && x.order() == y.order()
        });
        self.names.sort_by_key(|(bucket, _)| *bucket);
        self.cleared.sort_by_key(|(bucket, _)| *bucket);
    }
}
