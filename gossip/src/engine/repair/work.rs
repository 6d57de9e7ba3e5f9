//! What is left to fetch of a pass over the buckets, and how it is cut into requests.
//!
//! A bucket comes onto the list to be *compared*: runs of them are asked for with fingerprints, and those that are equal
//! or small are done with the answer. One that differs and is large is asked for again by a sketch of it, several of
//! them by one; the peer that answers sends what they differ in. A bucket that changes here again and again before the
//! answer comes, or of which a sketch would cost as much as half of it, is fetched *whole*.
//!
//! How long a sketch must be follows from an estimate: buckets are cut by hash, so what differs lies evenly among them.
//! First the share of equal buckets says how much that is, then what the sketches so far decoded to; a bucket on which
//! the two sides have different numbers of keys differs in those at least.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::store::{BUCKETS, Sketch};

/// Buckets compared by the first request: all, for 8 KiB of fingerprints. Of what an answer does not hold the next
/// requests ask for less.
const SPAN_FIRST: usize = BUCKETS;
/// Keys in the buckets of one sketch: a millisecond or two of hashing on both sides, during which no other peer is
/// served.
const SKETCH_KEYS_MAX: usize = 8 << 10;
/// Bytes that an item is held to take in an answer before one has come.
const ITEM_BYTES_FIRST: f64 = 64.0;
/// Symbols up to which a sketch is never dearer than what it would save.
const SYMBOLS_CHEAP: usize = 16;
/// How often a bucket may have changed before the difference came.
const STALE_MAX: u32 = 2;

/// A bucket known to differ.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Differing {
    /// How many keys the peer has there.
    pub(in crate::engine) theirs: usize,
    /// How many there are here.
    pub(in crate::engine) ours: usize,
    /// It differs in so many items at least: a sketch for half of them did not decode.
    items_least: f64,
    /// So often it had changed when the difference came.
    stale: u32,
}

impl Differing {
    pub(in crate::engine) fn new(theirs: usize, ours: usize) -> Self {
        Self { theirs, ours, items_least: theirs.abs_diff(ours) as f64, stale: 0 }
    }
}

/// The buckets of one request.
#[derive(Debug)]
pub(in crate::engine) enum Batch {
    /// To be compared and, if they differ, sent: large ones only if they are wanted `whole`.
    Run { run: Range<usize>, whole: bool },
    /// To be told in what they differ, by a sketch of so many symbols.
    Differing { buckets: Vec<(usize, Differing)>, symbols: usize },
}

impl Batch {
    pub(in crate::engine) fn len(&self) -> usize {
        match self {
            Self::Run { run, .. } => run.len(),
            Self::Differing { buckets, .. } => buckets.len(),
        }
    }
}

#[derive(Debug)]
pub(in crate::engine) struct Work {
    compare: BTreeSet<usize>,
    differing: BTreeMap<usize, Differing>,
    whole: BTreeSet<usize>,
    /// Buckets in a run to ask for: what an answer has been seen to hold, and some more.
    span: usize,
    /// Where the next request begins, if there is something left from there on: behind what could not be had a moment ago,
    /// lest one bucket hold up all behind it.
    from: usize,
    /// Bytes that an answer holds: a sketch of more than that is sent in vain.
    answer_bytes: f64,
    estimate: Estimate,
    /// How many buckets more may be compared again because they changed while the answer was under way.
    stale_left: usize,
}

impl Work {
    pub(in crate::engine) fn new(buckets: impl IntoIterator<Item = usize>, answer_bytes: usize) -> Self {
        Self {
            compare: buckets.into_iter().collect(),
            differing: BTreeMap::new(),
            whole: BTreeSet::new(),
            span: SPAN_FIRST,
            from: 0,
            answer_bytes: answer_bytes as f64,
            estimate: Estimate::default(),
            stale_left: BUCKETS,
        }
    }

    pub(in crate::engine) fn len(&self) -> usize {
        self.compare.len() + self.differing.len() + self.whole.len()
    }

    pub(in crate::engine) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next buckets to ask for. Comparing comes first: the more is compared, the better is the estimate.
    pub(in crate::engine) fn take(&mut self) -> Option<Batch> {
        if let Some(run) = take_run(&mut self.compare, self.from, self.span) {
            return Some(Batch::Run { run, whole: false });
        }
        if let Some(batch) = self.take_differing() {
            return Some(batch);
        }
        take_run(&mut self.whole, self.from, self.span).map(|run| Batch::Run { run, whole: true })
    }

    /// Takes as few buckets as fit a datagram, with fingerprints alone: those that differ are sent whole.
    pub(super) fn take_few(&mut self, span_max: usize) -> Option<Batch> {
        self.whole.extend(std::mem::take(&mut self.compare));
        self.whole.extend(std::mem::take(&mut self.differing).into_keys());
        take_run(&mut self.whole, self.from, self.span.min(span_max)).map(|run| Batch::Run { run, whole: true })
    }

    fn take_differing(&mut self) -> Option<Batch> {
        while !self.differing.is_empty() {
            let (mut buckets, mut keys, mut theirs, mut items) = (Vec::new(), 0, 0, 0.0);
            let from = if self.differing.range(self.from..).next().is_some() { self.from } else { 0 };
            while let Some((&bucket, &it)) = self.differing.range(from..).next() {
                keys += it.theirs.max(it.ours);
                let more = items + self.estimate.of(&it);
                let too_many = keys > SKETCH_KEYS_MAX || Sketch::symbols_for(more).is_none();
                let too_large = more * self.estimate.item_bytes() > self.answer_bytes;
                if !buckets.is_empty() && (too_many || too_large) {
                    break;
                }
                self.differing.remove(&bucket);
                theirs += it.theirs;
                items = more;
                buckets.push((bucket, it));
            }
            let symbols = Sketch::symbols_for(items).filter(|it| *it <= SYMBOLS_CHEAP.max(2 * theirs));
            if let Some(symbols) = symbols {
                return Some(Batch::Differing { buckets, symbols });
            }
            // Two symbols are about half of the least that a key takes.
            self.whole.extend(buckets.iter().map(|(bucket, _)| bucket));
        }
        None
    }

    /// Nothing came of a request: its buckets are asked for again as they were.
    pub(in crate::engine) fn put_back(&mut self, batch: Batch) {
        match batch {
            Batch::Run { run, whole: false } => self.compare.extend(run),
            Batch::Run { run, whole: true } => self.whole.extend(run),
            Batch::Differing { buckets, .. } => self.differing.extend(buckets),
        }
    }

    /// Puts back the buckets of a request that would most likely bring no more at once: what lies behind them goes
    /// first.
    pub(in crate::engine) fn put_off(&mut self, batch: Batch) {
        self.from = 1 + match &batch {
            Batch::Run { run, .. } => run.start,
            Batch::Differing { buckets, .. } => buckets.first().map_or(0, |(bucket, _)| *bucket),
        };
        self.put_back(batch);
    }

    /// The answer to a run: so many of its buckets were in it, of which so many were equal, some were not any more, and
    /// some differ.
    pub(in crate::engine) fn compared(
        &mut self,
        batch: Batch,
        held: usize,
        equal: usize,
        stale: &[usize],
        differing: impl IntoIterator<Item = (usize, Differing)>,
    ) {
        let Batch::Run { run, whole } = batch else { unreachable!("a run was asked for") };
        // Up to twice as much as came, next time.
        self.span = (held * 2).clamp(if held == run.len() { self.span } else { 1 }, BUCKETS);
        self.put_back(Batch::Run { run: run.start + held..run.end, whole });
        let again = stale.len().min(self.stale_left);
        self.stale_left -= again;
        self.compare.extend(&stale[..again]);
        self.differing.extend(differing);
        if !whole {
            self.estimate.compared(equal, held);
        }
    }

    /// The answer of so many bytes to a sketch: the first `held` of its buckets were in it, joined for so many `items` in
    /// so many buckets, some not what they had been.
    pub(in crate::engine) fn refined(
        &mut self,
        batch: Batch,
        held: usize,
        bytes: usize,
        (refined, items): (usize, usize),
        stale: &[usize],
    ) {
        let Batch::Differing { buckets, .. } = batch else { unreachable!("a sketch was sent") };
        self.estimate.refined += refined as f64;
        self.estimate.items += items as f64;
        if stale.is_empty() {
            self.estimate.weighed_bytes += bytes as f64;
            self.estimate.weighed_items += items as f64;
        }
        for (at, (bucket, mut it)) in buckets.into_iter().enumerate() {
            if at >= held {
                self.differing.insert(bucket, it);
            } else if stale.contains(&bucket) {
                it.stale += 1;
                if it.stale < STALE_MAX {
                    self.differing.insert(bucket, it);
                } else {
                    self.whole.insert(bucket);
                }
            }
        }
    }

    /// A sketch had too few symbols: these buckets get twice as many.
    pub(in crate::engine) fn undecoded(&mut self, batch: Batch) {
        let Batch::Differing { buckets, .. } = batch else { unreachable!("a sketch was sent") };
        for (bucket, mut it) in buckets {
            it.items_least = 2.0 * self.estimate.of(&it).max(2.0);
            self.differing.insert(bucket, it);
        }
        self.estimate.failed();
    }
}

/// Up to `span` buckets in a row: the first from `from` on, or else the first.
fn take_run(buckets: &mut BTreeSet<usize>, from: usize, span: usize) -> Option<Range<usize>> {
    let first = *buckets.range(from..).next().or_else(|| buckets.first())?;
    buckets.remove(&first);
    let mut run = first..first + 1;
    while run.len() < span && buckets.remove(&run.end) {
        run.end += 1;
    }
    Some(run)
}

/// How many items a bucket that differs differs in.
#[derive(Debug, Default)]
struct Estimate {
    /// Buckets compared, and those of them that were equal.
    compared: f64,
    equal: f64,
    /// Buckets whose difference has come, and in how many items those differed.
    refined: f64,
    items: f64,
    /// Bytes of answers in which nothing was stale, and the items in them.
    weighed_bytes: f64,
    weighed_items: f64,
    /// How often the guess was too low while there was nothing but comparisons to go by.
    doublings: i32,
}

impl Estimate {
    fn of(&self, bucket: &Differing) -> f64 {
        bucket.items_least.max(self.items())
    }

    fn items(&self) -> f64 {
        if self.refined > 0.0 {
            return self.items / self.refined;
        }
        // Of keys that fall evenly into buckets, a share of exp(-mean) gets none; that share is known if it is not too
        // small to be met with at all. A key counts on both sides.
        let unequal_mean = -(self.equal.max(0.5) / self.compared.max(1.0)).ln();
        let mean = unequal_mean.max(0.01);
        2.0 * mean / -(-mean).exp_m1() * f64::from(1 << self.doublings)
    }

    fn item_bytes(&self) -> f64 {
        if self.weighed_items > 0.0 { self.weighed_bytes / self.weighed_items } else { ITEM_BYTES_FIRST }
    }

    fn compared(&mut self, equal: usize, of: usize) {
        self.equal += equal as f64;
        self.compared += of as f64;
    }

    fn failed(&mut self) {
        if self.refined == 0.0 {
            self.doublings = (self.doublings + 1).min(16);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after_comparing(equal: usize, keys: usize) -> Work {
        let mut work = Work::new(0..BUCKETS, 128 << 10);
        let batch = work.take().unwrap();
        assert_eq!(batch.len(), BUCKETS, "all at once");
        let differing = (equal..BUCKETS).map(|bucket| (bucket, Differing::new(keys, keys)));
        work.compared(batch, BUCKETS, equal, &[], differing);
        work
    }

    fn sketched(batch: &Batch) -> (usize, usize) {
        match batch {
            Batch::Differing { buckets, symbols } => (buckets.len(), *symbols),
            Batch::Run { .. } => panic!("{batch:?}"),
        }
    }

    #[test]
    fn one_bucket_of_all_that_differs_is_sketched_for_one_changed_key() {
        let mut work = after_comparing(BUCKETS - 1, 1_000);
        let (buckets, symbols) = sketched(&work.take().unwrap());
        assert_eq!(buckets, 1);
        assert!((10..20).contains(&symbols), "{symbols}");
        assert!(work.is_empty());
    }

    #[test]
    fn what_sketches_decode_to_is_what_the_next_are_made_for() {
        let mut work = after_comparing(0, 1_000);
        let first = work.take().unwrap();
        let (buckets, _) = sketched(&first);
        assert_eq!(buckets, SKETCH_KEYS_MAX / 1_000);
        work.refined(first, buckets, buckets * 20_000, (buckets, buckets * 100), &[]);
        let (buckets, symbols) = sketched(&work.take().unwrap());
        assert!((110..150).contains(&(symbols / buckets)), "{symbols} for {buckets}");
        assert_eq!(buckets, (128 << 10) / 20_000, "no more than an answer holds");
    }

    #[test]
    fn a_sketch_that_does_not_decode_is_doubled_until_the_buckets_are_fetched_whole() {
        let mut work = after_comparing(BUCKETS - 1, 100);
        let mut before = 0;
        loop {
            match work.take().unwrap() {
                Batch::Differing { buckets, symbols } => {
                    assert!(symbols > before && symbols <= 200);
                    before = symbols;
                    work.undecoded(Batch::Differing { buckets, symbols });
                }
                Batch::Run { run, whole } => {
                    assert!(whole && run == (BUCKETS - 1..BUCKETS));
                    break;
                }
            }
        }
        assert!(before > 50);
    }

    #[test]
    fn a_bucket_that_changes_again_and_again_is_fetched_whole() {
        let mut work = after_comparing(BUCKETS - 1, 100);
        for _ in 0..STALE_MAX {
            let batch = work.take().unwrap();
            sketched(&batch);
            work.refined(batch, 1, 100, (0, 0), &[BUCKETS - 1]);
        }
        assert!(matches!(work.take(), Some(Batch::Run { whole: true, .. })));
        assert!(work.is_empty());
    }

    #[test]
    fn what_cannot_be_had_now_is_asked_for_again_after_all_the_others() {
        let first_of = |batch: Batch| match batch {
            Batch::Run { run, .. } => run.start,
            Batch::Differing { buckets, .. } => buckets[0].0,
        };
        let mut work = Work::new([3, 5, 9], 128 << 10);
        let batch = work.take().unwrap();
        work.put_off(batch);
        let asked: Vec<usize> = std::iter::from_fn(|| work.take().map(first_of)).collect();
        assert_eq!(asked, [5, 9, 3]);

        let mut work = Work::new(0..10, 1);
        let run = work.take().unwrap();
        work.compared(run, 10, 0, &[], [3, 5, 9].map(|bucket| (bucket, Differing::new(1_000, 1_000))));
        let batch = work.take().unwrap();
        work.put_off(batch);
        let asked: Vec<usize> = std::iter::from_fn(|| work.take().map(first_of)).collect();
        assert_eq!(asked, [5, 9, 3]);
    }

    #[test]
    fn what_an_answer_does_not_hold_stays_on_the_list_and_less_is_asked_for() {
        let mut work = Work::new(0..100, 128 << 10);
        let run = work.take().unwrap();
        work.compared(run, 10, 0, &[3], [(4, Differing::new(500, 500)), (5, Differing::new(500, 0))]);
        assert_eq!(work.len(), 93);
        assert!(matches!(work.take(), Some(Batch::Run { run, whole: false }) if run == (3..4)));
        assert!(matches!(work.take(), Some(Batch::Run { run, whole: false }) if run == (10..30)));
        while !work.compare.is_empty() {
            work.take();
        }
        let sketch = work.take().unwrap();
        let (buckets, symbols) = sketched(&sketch);
        assert!(buckets == 2 && symbols > 500, "one side has 500 keys that the other lacks");
        work.refined(sketch, 1, 100, (1, 7), &[]);
        assert_eq!(work.len(), 1);
    }
}
