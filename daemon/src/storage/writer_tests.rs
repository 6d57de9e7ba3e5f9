//! The thread that writes, one round at a time, over records and images that mean nothing.

use std::collections::VecDeque;
use std::sync::Mutex;

use cahoots_gossip::Dot;
use cahoots_gossip::engine::Record;
use cahoots_gossip::store::BUCKETS;

use super::super::faults::FaultyFiles;
use super::super::frame::FRAME_HEADER_BYTES;
use super::super::log::{Sizes, Start};
use super::*;

const A: ReplicaId = ReplicaId::new(1);
const SMALL: Sizes = Sizes { segment_bytes: 20_000, log_bytes_min: 100_000 };

/// What an image takes in the log beside what is in it.
const FRAME_BYTES_MORE: usize = FRAME_HEADER_BYTES + 2;

/// What a test has applied, and what it saw when the disk had some of it.
#[derive(Clone)]
struct Pile {
    waiting: Arc<Mutex<VecDeque<Record>>>,
    seq: u64,
    /// What is in each bucket.
    buckets: Arc<Mutex<Vec<usize>>>,
    shared: Arc<Shared>,
    kept_while_pressed: Arc<Mutex<u64>>,
}

impl Pile {
    fn apply(&self, bytes: usize) {
        let record = Record::Event(Dot::new(A, 1), vec![7; bytes].into());
        self.waiting.lock().unwrap().push_back(record);
    }
}

impl Source for Pile {
    fn take(&mut self) -> Taken {
        self.seq += 1;
        let mut records = Records::default();
        records.list = std::mem::take(&mut *self.waiting.lock().unwrap());
        Taken { records, id: A, seq: self.seq, versions: VersionVector::new() }
    }

    fn image(&mut self, bucket: usize) -> Vec<u8> {
        vec![7; self.buckets.lock().unwrap()[bucket]]
    }

    fn kept(&mut self, _: &VersionVector) {
        *self.kept_while_pressed.lock().unwrap() += u64::from(self.shared.presses.load(Ordering::SeqCst));
    }
}

/// A writer under `everysec` for which no second ever passes.
fn writer(directory: &std::path::Path, sizes: Sizes, image_bytes: usize) -> (Writer<Pile>, Pile) {
    let log = Log::open(directory, Arc::new(FaultyFiles::default()), Start { sizes, ..Start::default() }).unwrap();
    let shared = Arc::new(Shared::new(directory.to_owned()));
    let pile = Pile {
        waiting: Arc::default(),
        seq: 0,
        buckets: Arc::new(Mutex::new(vec![image_bytes; BUCKETS])),
        shared: Arc::clone(&shared),
        kept_while_pressed: Arc::default(),
    };
    let mut writer = Writer::new(pile.clone(), log, AppendFsync::EverySec, shared).unwrap();
    writer.synced_at += Duration::from_secs(3600);
    (writer, pile)
}

#[test]
fn whoever_writes_waits_for_the_disk_before_the_log_takes_three_times_the_data() {
    let directory = tempfile::tempdir().unwrap();
    let (mut writer, pile) = writer(directory.path(), SMALL, 100);
    // A slow disk.
    let (syncs, jobs) = mpsc::sync_channel::<Sync>(1);
    let (results_to, results) = mpsc::sync_channel(1);
    (writer.syncs, writer.results) = (syncs, results);
    thread::spawn(move || {
        for job in jobs {
            thread::sleep(Duration::from_millis(50));
            let _ = results_to.send(job.run());
        }
    });
    let (mut most, mut waited) = (0, 0);
    for _ in 0..300 {
        pile.apply(10_000);
        let _ = writer.round();
        let data = writer.log.live_bytes().max(SMALL.log_bytes_min * 10 / 17);
        if !writer.log.next_image_is_due() {
            most = most.max(writer.log.bytes() * 100 / data);
        }
        waited += u64::from(writer.log.synced_position() == writer.log.position());
    }
    assert!((200..300).contains(&most), "{most} % of the data");
    assert!(waited > 0 && *pile.kept_while_pressed.lock().unwrap() > 0);
    assert!(!pile.shared.presses.load(Ordering::SeqCst), "and goes on");
}

/// Whatever the log is begun with: much, little, or as much as is kept of a log at least.
#[test]
fn whoever_overwrites_no_faster_than_the_disk_takes_it_never_waits() {
    for data in [20_000, 60_000, 200_000, 1_000_000] {
        let directory = tempfile::tempdir().unwrap();
        let (mut writer, pile) = writer(directory.path(), SMALL, data / BUCKETS);
        let mut most = 0;
        for round in 0..10_000 {
            // All of it at first, then again and again.
            pile.apply(if round < 100 { data / 100 } else { data / 500 });
            let _ = writer.round();
            while writer.under_way.is_some() {
                let _ = writer.round();
            }
            let images = (data / BUCKETS + FRAME_BYTES_MORE) * BUCKETS;
            let least = usize::try_from(SMALL.log_bytes_min * 10 / 17).unwrap();
            most = most.max(writer.log.bytes() * 100 / images.max(least) as u64);
            assert!(writer.log.images_wanted().is_some(), "{data}: pressed in round {round}, {most} %");
        }
        assert!((170..=250).contains(&most), "{data}: {most} %");
    }
}

/// Where one key is nearly all there is, whichever bucket it is in, and a few hold the rest.
#[test]
fn a_bucket_that_is_larger_than_all_others_says_nothing_about_them() {
    for (huge, bytes, others) in
        [(0, 50_000, 0), (3, 300_000, 100), (40, 400_000, 10), (500, 300_000, 50), (1_023, 300_000, 0)]
    {
        let directory = tempfile::tempdir().unwrap();
        let (mut writer, pile) = writer(directory.path(), SMALL, others);
        pile.buckets.lock().unwrap()[huge] = bytes;
        let images = bytes + (others + FRAME_BYTES_MORE) * BUCKETS;
        let least = usize::try_from(SMALL.log_bytes_min * 10 / 17).unwrap();
        let mut most = 0;
        for round in 0..5_000 {
            pile.apply(images / 200);
            let _ = writer.round();
            while writer.under_way.is_some() {
                let _ = writer.round();
            }
            most = most.max(writer.log.bytes() * 100 / images.max(least) as u64);
            assert!(writer.log.images_wanted().is_some(), "{huge}: pressed in round {round}, {most} %");
        }
        assert!((170..=270).contains(&most), "{huge} of {bytes} bytes beside {others}: {most} %");
    }
}

/// Buckets of any sizes, filled in any order, grown, and overwritten; under each policy.
#[test]
fn whatever_lies_in_the_buckets_the_log_is_three_times_as_long_at_most_and_nobody_waits_for_ever() {
    let first: u64 = std::env::var("CAHOOTS_LOG_SEED").ok().and_then(|it| it.parse().ok()).unwrap_or(1);
    let seeds: u64 = std::env::var("CAHOOTS_LOG_SEEDS").ok().and_then(|it| it.parse().ok()).unwrap_or(10);
    let (mut worst, mut longest) = ((0, 0), (0, 0));
    for seed in first..first + seeds {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut draw = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from((state >> 11) % below as u64).unwrap()
        };
        let directory = tempfile::tempdir().unwrap();
        let (mut writer, pile) = writer(directory.path(), SMALL, 0);
        writer.policy = [AppendFsync::EverySec, AppendFsync::Always, AppendFsync::No][draw(3)];
        let keys = 1_usize << draw(13);
        let mut whole = vec![0_usize; BUCKETS];
        for _ in 0..keys {
            whole[draw(BUCKETS)] += ((1_500_000 / keys) >> draw(8)) + 1;
        }
        let touched: Vec<usize> = (0..BUCKETS).filter(|bucket| whole[*bucket] > 0).collect();
        let (step, in_order) = (1 + draw(8) * 1_000, draw(2) == 0);
        let (mut next, mut pressed) = (0, 0);
        for round in 0..4_000 {
            if round % 1_000 == 999 && whole.iter().sum::<usize>() < 2_000_000 {
                whole.iter_mut().for_each(|bytes| *bytes += *bytes * draw(100) / 100);
            }
            {
                let mut buckets = pile.buckets.lock().unwrap();
                let mut left = step;
                while left > 0 {
                    next = if in_order { next + 1 } else { draw(touched.len()) };
                    let bucket = touched[next % touched.len()];
                    let bytes = left.min(1 + whole[bucket] / 4);
                    buckets[bucket] = whole[bucket].min(buckets[bucket] + bytes);
                    left -= bytes;
                }
            }
            pile.apply(step);
            let _ = writer.round();
            while writer.under_way.is_some() {
                let _ = writer.round();
            }
            let images = pile.buckets.lock().unwrap().iter().sum::<usize>() + FRAME_BYTES_MORE * BUCKETS;
            let least = usize::try_from(SMALL.log_bytes_min * 10 / 17).unwrap();
            worst = worst.max((writer.log.bytes() * 100 / images.max(least) as u64, seed));
            pressed = if writer.log.images_wanted().is_none() { pressed + 1 } else { 0 };
            longest = longest.max((pressed, seed));
        }
        assert!(worst.0 < 300, "seed {seed}: {} %", worst.0);
        assert!(longest.0 < 100, "seed {seed}: pressed for {} rounds", longest.0);
        // Whoever has nothing to write has nothing to do, soon.
        let idle = (0..2_000).take_while(|_| !matches!(writer.round(), Rest::Idle)).count();
        let at = writer.log.position();
        assert!(idle < 2_000 || writer.policy == AppendFsync::EverySec, "seed {seed}: busy with nothing");
        let _ = writer.round();
        assert_eq!(writer.log.position(), at, "seed {seed}: writes for nobody");
    }
}

#[test]
fn a_disk_that_is_kept_busy_is_given_its_work_before_the_second_is_over() {
    let directory = tempfile::tempdir().unwrap();
    let young = Sizes { log_bytes_min: u64::MAX / 30, ..Sizes::default() };
    let (mut writer, pile) = writer(directory.path(), young, 100);
    let most = usize::try_from(writer.log.unsynced_bytes_max()).unwrap();
    pile.apply(most - 1_000);
    let _ = writer.round();
    assert!(writer.under_way.is_none() && writer.log.synced_position() == 0);
    pile.apply(1_000);
    let _ = writer.round();
    assert!(writer.under_way.is_some());
}

#[test]
fn images_that_are_overdue_do_not_keep_records_waiting() {
    let directory = tempfile::tempdir().unwrap();
    let (mut writer, _) = writer(directory.path(), SMALL, 1 << 20);
    writer.log.begin_gap().unwrap();
    writer.images_due = 1 << 30;
    writer.write_images(0).unwrap();
    let written = writer.log.live_bytes();
    assert!((16 << 20..18 << 20).contains(&written), "{written} of {BUCKETS} images");
}

#[test]
fn images_that_took_long_do_not_delay_the_next_sync_by_much() {
    let rests = [0, 10, 5_000].map(|ms| rest_after(Duration::from_millis(ms)).as_millis());
    assert_eq!(rests, [2, 30, 100]);
}
