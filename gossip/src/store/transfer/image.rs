//! Bucket images: what a disk keeps of a store, in the encoding of transfers, and a store made of them.
//!
//! An image is one bucket, read atomically after sealing, with the version vector it is exact for: a transfer of one
//! bucket. Images may be taken one by one while the store changes, because every bucket has a vector of its own and an
//! event skips buckets that have it already. A store is had back by joining the images into an empty one, then applying,
//! in their order, the events and transfers that came after the oldest of them began. Both go through what peers send:
//! there is no second way into the store.

use cahoots_crdt::ReplicaId;

use crate::Limits;
use crate::store::Store;

impl Store {
    /// An empty store to load into. It mints nothing before it is told whose it is.
    #[must_use]
    pub fn to_load(limits: Limits) -> Self {
        Self::new(ReplicaId::new(0), limits, 0)
    }

    /// One bucket as a disk keeps it. Seals the window. O(bucket).
    ///
    /// # Panics
    /// If there is no such bucket.
    pub fn bucket_image(&mut self, bucket: usize) -> Vec<u8> {
        self.encode_bucket(bucket)
    }

    /// Everything is loaded, and `id` is the replica that wrote it. What becomes of the id is for [`Store::resume`].
    #[must_use]
    pub fn loaded_as(mut self, id: ReplicaId) -> Self {
        self.id = id;
        self
    }
}

#[cfg(test)]
mod tests {
    use cahoots_crdt::Dot;

    use super::*;
    use crate::store::Applied;
    use crate::store::{BUCKETS, Class};

    const A: ReplicaId = ReplicaId::new(1);
    const B: ReplicaId = ReplicaId::new(2);
    const C: ReplicaId = ReplicaId::new(3);

    enum Written {
        Event(Dot, Vec<u8>),
        Transfer(Vec<u8>),
    }

    /// A store with what a journal would have recorded of it.
    struct Disk {
        store: Store,
        journal: Vec<Written>,
        images: Vec<Option<Vec<u8>>>,
    }

    impl Disk {
        fn new(id: ReplicaId) -> Self {
            Self { store: Store::new(id, Limits::default(), 1000), journal: Vec::new(), images: vec![None; BUCKETS] }
        }

        fn write(&mut self, n: u64) {
            let key = format!("key{}", n % 40);
            let counter = format!("n{}", n % 7);
            self.store.write(1_000 + n, 0, |writer| match n % 5 {
                0 => drop(writer.delete(counter.as_bytes())),
                1 => writer.set(key.as_bytes(), format!("{n}").as_bytes()).unwrap(),
                2 => drop(writer.insert(b"set", Class::Set, key.as_bytes(), b"")),
                3 => drop(writer.remove(b"set", Class::Set, key.as_bytes())),
                _ => drop(writer.add(counter.as_bytes(), 3)),
            });
            if n.is_multiple_of(3) {
                self.store.seal();
            }
            self.drain();
        }

        fn drain(&mut self) {
            while let Some(sealed) = self.store.poll_sealed() {
                self.journal.push(Written::Event(Dot::new(self.store.id(), sealed.seq), sealed.body));
            }
        }

        fn receive(&mut self, from: &Disk) {
            for written in &from.journal {
                if let Written::Event(dot, body) = written
                    && self.store.apply(*dot, body) == Ok(Applied::Now)
                {
                    self.journal.push(Written::Event(*dot, body.clone()));
                }
            }
        }

        fn join(&mut self, from: &mut Disk, first: usize, count: usize) {
            let theirs = self.store.bucket_fingerprints(first, first + count);
            let (transfer, _) = from.store.encode_transfer(first, &theirs, usize::MAX, usize::MAX);
            from.drain();
            self.drain();
            self.store.join_transfer(&transfer).unwrap();
            self.journal.push(Written::Transfer(transfer));
        }

        fn image(&mut self, buckets: std::ops::Range<usize>) {
            for bucket in buckets {
                self.images[bucket] = Some(self.store.bucket_image(bucket));
                self.drain();
            }
        }

        fn load(&self, journal_from: usize) -> Store {
            let mut store = Store::to_load(Limits::default());
            for image in self.images.iter().flatten() {
                store.join_transfer(image).unwrap();
            }
            for written in &self.journal[journal_from..] {
                match written {
                    Written::Event(dot, body) => {
                        let applied = store.apply(*dot, body).unwrap();
                        assert!(matches!(applied, Applied::Now | Applied::Known), "{dot:?}: {applied:?}");
                    }
                    Written::Transfer(bytes) => drop(store.join_transfer(bytes).unwrap()),
                }
            }
            store
        }
    }

    /// Images of different moments, a journal from the first of them on: the store is what it was, and goes on.
    #[test]
    fn a_store_is_had_back_from_images_of_different_moments_and_the_journal_since_the_first() {
        for seed in 0..40u64 {
            let (mut a, mut b, mut c) = (Disk::new(A), Disk::new(B), Disk::new(C));
            let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
            let mut next = |bound: u64| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (random >> 33) % bound
            };
            let (mut from, mut imaged) = (0, 0);
            let start = if seed % 4 == 0 { u64::MAX } else { next(150) };
            for step in 0..300 {
                match next(12) {
                    0..5 => a.write(next(10_000)),
                    5 | 6 => b.write(next(10_000)),
                    7 => c.write(next(10_000)),
                    8 => a.receive(&b),
                    9 => b.receive(&a),
                    10 => a.receive(&c),
                    _ => {
                        let first = usize::try_from(next(900)).unwrap();
                        a.join(&mut b, first, 124);
                    }
                }
                if step >= start && imaged < BUCKETS {
                    if imaged == 0 {
                        from = a.journal.len();
                    }
                    let upto = (imaged + usize::try_from(next(64)).unwrap()).min(BUCKETS);
                    a.image(imaged..upto);
                    imaged = upto;
                }
            }
            if imaged > 0 {
                a.image(imaged..BUCKETS);
            }
            a.store.seal();
            a.drain();
            let mut loaded = a.load(from);
            assert_eq!(loaded.version_vector(), a.store.version_vector(), "seed {seed}");
            assert_eq!(loaded.version_hash(), a.store.version_hash(), "seed {seed}");
            assert_eq!(loaded.fingerprint(), a.store.fingerprint(), "seed {seed}");
            assert!(loaded.fingerprints_are_exact());
            assert_eq!((loaded.len(), loaded.clock()), (a.store.len(), a.store.clock()));

            let mut loaded = loaded.loaded_as(A);
            let seq = loaded.sealed_seq();
            loaded.write(1, 0, |writer| writer.set(b"more", b"1")).unwrap();
            assert_eq!(loaded.position(), seq + 1);
        }
    }

    /// What a disk lost of the end is a smaller state, not a broken one: every prefix of the journal loads.
    #[test]
    fn every_beginning_of_a_journal_loads() {
        let (mut a, mut b) = (Disk::new(A), Disk::new(B));
        for n in 0..60 {
            a.write(n * 7);
            b.write(n * 11);
            if n.is_multiple_of(9) {
                a.receive(&b);
            }
        }
        a.join(&mut b, 0, BUCKETS);
        let whole = std::mem::take(&mut a.journal);
        for written in whole {
            a.journal.push(written);
            assert!(a.load(0).fingerprints_are_exact());
        }
    }
}
