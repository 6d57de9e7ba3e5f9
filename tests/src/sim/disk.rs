//! Disks: images of stores, what a process makes of them, and disks that lie.
//!
//! An image is taken at some moments only, as a disk is synced. A process that starts from one may go on under the
//! image's id if nothing was told to anyone since it was taken; otherwise it keeps the data and takes a new id. Two
//! faults break this: a disk that is older than it claims, and a copy of a disk that is used beside the original. From
//! then on a dot may name two events, so the oracle has no say any more; what must hold is that it is found out and
//! that all agree in the end.

use cahoots_crdt::ReplicaId;
use cahoots_gossip::engine::{Event, Replica};
use cahoots_gossip::store::Store;

use super::World;
use super::process::Process;

/// What a host keeps when its process ends.
#[derive(Clone)]
pub(super) struct Disk {
    image: Store,
    /// Nothing was told to anyone since.
    complete: bool,
}

/// How a process begins that finds a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Under the image's id if that is allowed, else under a new one.
    Honest,
    /// Under the image's id, whatever is missing.
    Lying,
}

fn knows_the_same(a: &Store, b: &Store) -> bool {
    a.version_vector() == b.version_vector() && a.buckets_ahead() == 0 && b.buckets_ahead() == 0
}

impl World {
    /// Writes the state of the process to the disk of its host.
    pub fn sync(&mut self, host: usize) {
        let image = self.process_mut(host).engine.image();
        self.hosts[host].disk = Some(Disk { image, complete: true });
        self.tally.syncs += 1;
        self.pump(host);
    }

    /// Says of a disk whose process ends now whether anything was told since it was written.
    pub(super) fn judge_disk(&mut self, host: usize) {
        let super::world::Host { process, disk, .. } = &mut self.hosts[host];
        if let (Some(process), Some(disk)) = (process, disk) {
            let store = process.engine.store();
            disk.complete &= disk.image.id() == store.id() && knows_the_same(&disk.image, store);
        }
    }

    /// Starts a process from the disk of its host, or with empty memory if there is none. Returns its id.
    ///
    /// # Panics
    /// If a process runs there.
    pub fn resume(&mut self, host: usize, start: Start) -> ReplicaId {
        let Some(disk) = self.hosts[host].disk.clone() else { return self.start(host) };
        let old = disk.image.id();
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
            self.history.rename(old, disk.image.sealed_seq(), nobody);
        }
        let now = self.hosts[host].clocks.read(self.now);
        let engine = Replica::resume(self.start_config(), disk.image, id, now);
        self.inhabit(host, engine);
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
        let elder = rivals.into_iter().find(|&it| self.process(it).born < born && self.reachable(it, host));
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
