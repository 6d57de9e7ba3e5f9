//! Applying an event of another replica.
//!
//! An event is one unit: decoded whole, checked, held back until all it names is applied here, and then applied in
//! every bucket that does not have it yet. Cost: the size of the event plus the cells it removes.

use cahoots_crdt::{Dot, Observed, ReplicaId, VersionVector};

use crate::store::Store;
use crate::store::cell::baseline::Baseline;
use crate::store::cell::fingerprint::Fingerprint;
use crate::store::cell::{Count, Dots, Path, Register, hash_of};
use crate::store::event::{Body, Change, EventError, Foreign, Part};
use crate::store::kind::Class;
use crate::store::memory::bucket::{Bucket, discard_cells, put_count, remove_cells};
use crate::store::memory::keys::Draft;
use crate::store::read::changes::{By, Subject};

/// What became of an event that was offered to the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is part of the state now.
    Now,
    /// It was already.
    Known,
    /// It waits for these events; nothing was touched.
    Waits(Vec<Missing>),
    /// It carries, or names, this replica's own id and a seq that no peer was told of: the id is in use twice, or was
    /// used by a process whose disk has lost some.
    OwnId,
}

/// An event that another one refers to and that is not applied here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The bucket in which it is referred to.
    pub bucket: usize,
    /// The event.
    pub dot: Dot,
}

impl Store {
    /// Applies event `event` with this body, if it is the next of its origin and everything it names is here.
    ///
    /// A stamp from the future is no reason to refuse it: a refused event blocks its origin, whereas this store stamps
    /// what it writes later above all it has seen. Only what is beyond [`Hlc::SANE_MS_MAX`](crate::Hlc::SANE_MS_MAX) no
    /// replica mints.
    ///
    /// # Errors
    /// The body is malformed or breaks a rule; nothing was touched.
    pub fn apply(&mut self, event: Dot, body: &[u8]) -> Result<Applied, EventError> {
        let body = Body::decode(body, event, &self.limits)?;
        if event.replica == self.id {
            return Ok(if event.seq <= self.certain_seq() { Applied::Known } else { Applied::OwnId });
        }
        let known = self.vv.get(event.replica);
        if event.seq <= known {
            return Ok(Applied::Known);
        }
        let missing = self.missing(event, &body);
        if missing.iter().any(|it| it.dot.replica == self.id) {
            return Ok(Applied::OwnId);
        }
        if !missing.is_empty() {
            return Ok(Applied::Waits(missing));
        }
        self.warm_places(&body.places);
        for part in &body.parts {
            if self.seen(part.bucket, event.replica) < event.seq {
                self.apply_part(event, part, &body);
            }
        }
        self.vv.raise(event.replica, event.seq);
        self.clock = self.clock.max(body.clock);
        Ok(Applied::Now)
    }

    fn missing(&self, event: Dot, body: &Body<'_>) -> Vec<Missing> {
        let previous = Dot::new(event.replica, event.seq - 1);
        let gap = (!self.vv.covers(previous)).then_some(Missing { bucket: 0, dot: previous });
        let named = body.dependencies.iter().map(|(bucket, dot)| Missing { bucket: *bucket, dot: *dot });
        let named = named
            .filter(|it| self.seen(it.bucket, event.replica) < event.seq)
            .filter(|it| self.known(it.bucket, it.dot.replica) < it.dot.seq);
        gap.into_iter().chain(named).collect()
    }

    /// How far what others name of `replica` is here. What is provisional under a dot of the own id is another event than
    /// the one that they name.
    fn known(&self, bucket: usize, replica: ReplicaId) -> u64 {
        if replica == self.id { self.certain_seq() } else { self.seen(bucket, replica) }
    }

    fn apply_part(&mut self, event: Dot, part: &Part<'_>, body: &Body<'_>) {
        let bucket = &mut self.buckets[part.bucket];
        let mut target = Target { bucket, draft: &mut self.draft, event, body };
        if let Some(context) = part.cleared {
            let context = Context::new(event, context);
            let keys: Vec<Box<[u8]>> = target.bucket.keys.iter().map(|(key, _)| key.into()).collect();
            for key in keys {
                let hash = hash_of(&key);
                self.changes.look(Subject { keys: &target.bucket.keys, hash, key: &key }, By::Peer);
                target.delete(hash, &key, &context);
                self.changes.push(Subject { keys: &target.bucket.keys, hash, key: &key });
            }
        }
        for key in body.keys_of(part) {
            let (hash, name) = (key.key_hash, key.key);
            if let Some(uses) = &mut self.uses {
                let how = target.bucket.keys.how_used(hash, name);
                uses.note(hash, target.bucket.keys.len() + 1, self.changes.now(), how);
            }
            self.changes.look(Subject { keys: &target.bucket.keys, hash, key: name }, By::Peer);
            key.changes().for_each(|change| target.apply(&change, (hash, name)));
            self.changes.push(Subject { keys: &target.bucket.keys, hash, key: name });
        }
        let named: Dots = part.names.iter().collect();
        bucket.advance_frontier(Some(&named), event);
    }
}

/// What a part of an event is applied to.
struct Target<'a, 'b> {
    bucket: &'a mut Bucket,
    draft: &'a mut Draft,
    event: Dot,
    body: &'a Body<'b>,
}

impl Target<'_, '_> {
    #[inline]
    fn apply(&mut self, change: &Change<'_>, (hash, key): (u64, &[u8])) {
        let event = self.event;
        let place = |code: u8, name| Path::within(hash, key, Class::from_code(code).expect("checked"), name);
        let Bucket { keys, baselines, cells_fingerprint: fingerprint, .. } = &mut *self.bucket;
        match *change {
            Change::Delete { context } => self.delete(hash, key, &Context::new(event, context)),
            Change::Remove { class, name, context } => {
                let path = place(class, name.0);
                let (at, mut element) = keys.look(&path);
                if !element.is_empty() {
                    let context = Context::new(event, context);
                    remove_cells(&path, &mut element, baselines, fingerprint, |dot| context.covers(dot));
                    keys.draft(at, &path, element, self.draft);
                    keys.commit(at, &path, baselines, self.draft);
                }
            }
            Change::Discard { class, name, cell, cells } => {
                let path = place(class, name.0);
                let (at, mut element) = keys.look(&path);
                if !element.is_empty() {
                    discard_cells(&path, &mut element, baselines, fingerprint, cell, |dot| {
                        cells.iter().any(|it| it == dot)
                    });
                    keys.draft(at, &path, element, self.draft);
                    keys.commit(at, &path, baselines, self.draft);
                }
            }
            Change::Reset { class, name, owner, birth, seen, total } => {
                let baseline = Baseline { owner, birth, seen, total, reset: event };
                self.bucket.merge_baseline(&place(class, name.0), baseline, self.draft);
            }
            Change::Assign { class, name, context, clock_after, value } => {
                let path = place(class, name.0);
                let (at, mut element) = keys.look(&path);
                let context = Context::new(event, context);
                // A hostile event may assign twice at one place.
                remove_cells(&path, &mut element, baselines, fingerprint, |dot| dot == event || context.covers(dot));
                let register = Register { clock: self.body.clock_of(clock_after), value: value.0 };
                fingerprint.add(Fingerprint::of_register(&path, event, &register));
                element.value.insert(event, register);
                keys.draft(at, &path, element, self.draft);
                keys.commit(at, &path, baselines, self.draft);
            }
            Change::Count { class, name, clock_after, birth, total } => {
                let path = place(class, name.0);
                let (at, mut element) = keys.look(&path);
                let count = Count { clock: self.body.clock_of(clock_after), birth, total };
                put_count(&path, &mut element, baselines, fingerprint, event, count);
                keys.draft(at, &path, element, self.draft);
                keys.commit(at, &path, baselines, self.draft);
            }
        }
    }

    fn delete(&mut self, hash: u64, key: &[u8], context: &Context) {
        let Bucket { keys, baselines, cells_fingerprint: fingerprint, .. } = &mut *self.bucket;
        let baselines = &*baselines;
        keys.alter(hash, key, (baselines, self.draft), |path, element| {
            remove_cells(path, element, baselines, fingerprint, |dot| context.covers(dot));
        });
    }
}

/// What one change of an event supersedes: the dots written down, and all earlier events of the origin.
struct Context {
    event: Dot,
    foreign: VersionVector,
}

impl Context {
    fn new(event: Dot, foreign: Foreign<'_>) -> Self {
        Self { event, foreign: foreign.iter().map(|dot| (dot.replica, dot.seq)).collect() }
    }
}

impl Observed for Context {
    fn covers(&self, dot: Dot) -> bool {
        if dot.replica == self.event.replica { dot.seq < self.event.seq } else { self.foreign.covers(dot) }
    }
}
