//! Disks: what processes write of their stores, what others make of it, and disks that lie.
//!
//! A disk holds images of buckets, taken at different moments, and the records since the oldest of them: what a real one
//! holds. It is written at some moments only, as a disk is synced. A process that starts from one may go on under its id
//! if nothing was told to anyone since; otherwise it keeps the data and takes a new id. Two faults break this: a disk
//! that is older than it claims, and a copy of a disk that is used beside the original. From then on a dot may name
//! two events, so the oracle has no say any more; what must hold is that it is found out and that all agree in the end.

use std::collections::VecDeque;

use cahoots_crdt::{ReplicaId, VersionVector};
use cahoots_gossip::Limits;
use cahoots_gossip::engine::{Event, Record, Replica};
use cahoots_gossip::store::{Applied, BUCKETS, Fingerprint, Store};

use super::World;
use super::process::Process;

/// Images taken anew each time a disk is written.
const IMAGES_AT_ONCE: usize = 100;

/// What a host keeps when its process ends.
#[derive(Clone)]
pub(super) struct Disk {
    id: ReplicaId,
    /// The latest image of each bucket, and which record comes after it.
    images: Vec<(u64, Vec<u8>)>,
    next_image: usize,
    /// Records from number `first` on.
    records: VecDeque<Record>,
    first: u64,
    /// What the store was when this was written.
    versions: VersionVector,
    fingerprint: Fingerprint,
    /// Nothing was told to anyone since.
    complete: bool,
}

impl Disk {
    /// Of nothing yet.
    fn new(id: ReplicaId) -> Self {
        Self {
            id,
            images: vec![(0, Vec::new()); BUCKETS],
            next_image: 0,
            records: VecDeque::new(),
            first: 0,
            versions: VersionVector::new(),
            fingerprint: Fingerprint::default(),
            complete: true,
        }
    }

    /// Takes the records that wait, and images of the next `images` buckets.
    fn write(&mut self, engine: &mut Replica, images: usize) {
        for _ in 0..images {
            let image = engine.bucket_image(self.next_image);
            // What was sealed for the image comes before it.
            self.records.extend(engine.take_records().list);
            self.images[self.next_image] = (self.first + self.records.len() as u64, image);
            self.next_image = (self.next_image + 1) % BUCKETS;
        }
        self.fingerprint = engine.status().fingerprint;
        self.records.extend(engine.take_records().list);
        let needed_from = self.images.iter().map(|(at, _)| *at).min().expect("there are buckets");
        while self.first < needed_from {
            self.records.pop_front();
            self.first += 1;
        }
        self.id = engine.id();
        self.versions = engine.store().version_vector().clone();
        self.complete = true;
    }

    /// What a process finds.
    fn load(&self) -> Store {
        let mut store = Store::to_load(Limits::default());
        for (_, image) in &self.images {
            store.join_transfer(image).expect("it was taken of a store");
        }
        for record in &self.records {
            match record {
                Record::Event(dot, body) => {
                    let applied = store.apply(*dot, body).expect("it was applied before");
                    assert!(matches!(applied, Applied::Now | Applied::Known), "{dot:?}: {applied:?}");
                }
                Record::Transfer(bytes) => _ = store.join_transfer(bytes).expect("it was joined before"),
            }
        }
        assert_eq!(store.version_vector(), &self.versions, "another state is read than was written");
        assert_eq!(store.fingerprint(), self.fingerprint, "another state is read than was written");
        store.loaded_as(self.id)
    }
}

/// How a process begins that finds a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Under the disk's id if that is allowed, else under a new one.
    Honest,
    /// Under the disk's id, whatever is missing.
    Lying,
}

impl World {
    /// Writes the state of the process to the disk of its host.
    pub fn sync(&mut self, host: usize) {
        let now = self.read_clocks(host);
        let super::world::Host { process, disk, .. } = &mut self.hosts[host];
        let process = process.as_mut().expect("a process runs there");
        process.engine.flush(now);
        let records = process.engine.take_records();
        self.tally.records_lost += u64::from(records.lost);
        if let Some(disk) = disk.as_mut().filter(|_| process.on_disk && !records.lost) {
            disk.records.extend(records.list);
            disk.write(&mut process.engine, IMAGES_AT_ONCE);
        } else {
            let disk = disk.insert(Disk::new(process.engine.id()));
            disk.write(&mut process.engine, BUCKETS);
            process.on_disk = true;
        }
        self.tally.syncs += 1;
        self.pump(host);
    }

    /// Says of a disk whose process ends now whether anything was told since it was written.
    pub(super) fn judge_disk(&mut self, host: usize) {
        let super::world::Host { process, disk, .. } = &mut self.hosts[host];
        if let (Some(process), Some(disk)) = (process, disk) {
            let store = process.engine.store();
            let knows_the_same = disk.versions == *store.version_vector() && store.buckets_ahead() == 0;
            disk.complete &= disk.id == store.id() && knows_the_same;
        }
    }

    /// Starts a process from the disk of its host, or with empty memory if there is none. Returns its id.
    ///
    /// # Panics
    /// If a process runs there.
    pub fn resume(&mut self, host: usize, start: Start) -> ReplicaId {
        let Some(disk) = self.hosts[host].disk.clone() else { return self.start(host) };
        let (old, store) = (disk.id, disk.load());
        let continued = disk.complete || start == Start::Lying;
        let id = if continued { old } else { self.fresh_id() };
        match (disk.complete, start) {
            (true, _) => self.tally.resumed += 1,
            (false, Start::Honest) => self.tally.resumed_anew += 1,
            (false, Start::Lying) => {
                self.tally.lies += 1;
                self.doubtful = true;
            }
        }
        if continued && !self.doubtful {
            // What was in the window was in no event anybody heard of: it is lost, and its dot is free.
            let nobody = self.fresh_id();
            self.history.rename(old, store.sealed_seq(), nobody);
        }
        let now = self.hosts[host].clocks.read(self.now);
        let engine = Replica::resume(self.start_config(), store, id, now);
        self.inhabit(host, engine);
        self.process_mut(host).on_disk = true;
        id
    }

    /// Copies the disk of one host to another, which will take it for its own.
    pub fn copy_disk(&mut self, from: usize, to: usize) {
        if let Some(mut disk) = self.hosts[from].disk.clone() {
            disk.complete = true;
            self.hosts[to].disk = Some(disk);
            self.tally.copies += 1;
            self.doubtful = true;
        }
    }

    /// Membership sees two live processes with one id: the younger takes another.
    pub(super) fn settle_duplicate(&mut self, host: usize) {
        let Some(process) = &self.hosts[host].process else { return };
        let (id, born) = (process.engine.id(), process.born);
        let rivals: Vec<usize> = self.alive().into_iter().filter(|&it| self.process(it).engine.id() == id).collect();
        let is_elder = |it: usize| (self.process(it).born, it) < (born, host); // as membership goes by the address then
        let elder = rivals.into_iter().find(|&it| is_elder(it) && self.reachable(it, host));
        if elder.is_some() {
            self.tally.duplicates_seen += 1;
            self.take_new_id(host);
            self.pump(host);
        }
    }

    /// What whoever drives an engine does when it reports that its id is used elsewhere.
    pub(super) fn take_new_id(&mut self, host: usize) {
        assert!(self.doubtful, "no disk lied, and yet host {host} takes another id:\n{}", self.describe());
        let id = self.fresh_id();
        let now = self.read_clocks(host);
        let engine = &mut self.hosts[host].process.as_mut().expect("a process runs there").engine;
        let old = engine.take_new_id(now, id).old;
        if let Some(copy) = self.alive().into_iter().find(|&at| self.process(at).engine.id() == old) {
            self.found_at(old, copy);
        }
        self.tally.identities += 1;
        self.settle(id, host);
    }

    /// Whether some process has, in some bucket or other, events of `id` beyond `seq`.
    #[must_use]
    pub fn somebody_has(&self, id: ReplicaId, seq: u64) -> bool {
        let has = |host: &usize| self.process(*host).engine.store().version_vector().get(id) > seq;
        self.alive().iter().any(has)
    }

    /// Whether the process on a host has found out that its id is in use elsewhere.
    #[must_use]
    pub fn has_noticed(&self, host: usize) -> bool {
        let Process { events, .. } = self.process(host);
        events.iter().any(|event| matches!(event, Event::IdentityConflict { .. }))
    }
}
