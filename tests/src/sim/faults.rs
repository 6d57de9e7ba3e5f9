//! Which faults a run has, and how often.

use super::{Link, Random, Step};

/// How likely each kind of fault is in a run, in percent per step. Each run leaves most of them out.
pub(super) struct Faults {
    crash: f64,
    stop: f64,
    slow: f64,
    leave: f64,
    cut: f64,
    split: f64,
    suspect: f64,
    skew: f64,
    /// Clocks that are off by up to this many milliseconds.
    skew_most: u64,
    /// Ends a process right after it was written to disk.
    park: f64,
    sync: f64,
    /// Of 100 processes that start again, how many look at their disk.
    pub(super) resumes: f64,
    lie: f64,
    copy: f64,
}

impl Faults {
    pub(super) fn draw(random: &mut Random) -> Self {
        let often = random.pick(&[0.5, 1.0, 4.0]);
        let (disks, lies) = (random.percent(45.0), random.percent(30.0));
        let mut kind = |percent: f64| if random.percent(45.0) { percent } else { 0.0 };
        let of = |there: bool, percent: f64| if there { percent } else { 0.0 };
        Self {
            crash: kind(*often),
            stop: kind(0.8),
            slow: kind(0.8),
            leave: kind(0.3),
            cut: kind(1.5),
            split: kind(1.0),
            suspect: kind(1.0),
            skew: kind(0.7),
            skew_most: 10_000,
            park: of(disks, kind(1.0)),
            sync: of(disks, 3.0),
            resumes: of(disks, 70.0),
            lie: of(disks && lies, kind(2.0)),
            copy: of(disks && lies, kind(0.5)),
        }
        .with_far_clocks(random.percent(15.0))
    }

    /// Some clocks go so far ahead that their replicas must not write.
    fn with_far_clocks(mut self, far: bool) -> Self {
        if far {
            self.skew_most = 90_000;
        }
        self
    }

    /// What goes wrong in one step, if anything.
    pub(super) fn strike(&self, random: &mut Random, hosts: usize, host: usize, other: usize) -> Option<Step> {
        if random.percent(self.crash) {
            return Some(Step::Crash(host));
        }
        if random.percent(self.park) {
            return Some(Step::Park(host));
        }
        if random.percent(self.sync) {
            return Some(Step::Sync(host));
        }
        if random.percent(self.lie) {
            return Some(Step::Lie(host));
        }
        if random.percent(self.copy) && host != other {
            return Some(Step::Copy(host, other));
        }
        if random.percent(self.stop) {
            return Some(Step::Stop(host));
        }
        if random.percent(self.slow) {
            return Some(Step::Slow(host, *random.pick(&[0, 100, 1_000, 5_000])));
        }
        if random.percent(self.leave) {
            if random.percent(25.0) {
                return Some(Step::LeaveTogether((0..hosts).filter(|_| random.percent(70.0)).collect()));
            }
            return Some(Step::Leave(host));
        }
        if random.percent(self.cut) && host != other {
            return Some(Step::Cut(host, other));
        }
        if random.percent(self.split) {
            let side = (0..hosts).filter(|_| random.percent(50.0)).collect();
            return Some(Step::Split(side));
        }
        if random.percent(self.suspect) {
            return Some(Step::Suspect(host, other));
        }
        random.percent(self.skew).then(|| {
            let error = i64::try_from(random.below(2 * self.skew_most)).expect("small");
            Step::Skew(host, error - i64::try_from(self.skew_most).expect("small"))
        })
    }
}

/// How links behave while faults last: of all, and of some directions that are worse or better than the others.
pub(super) fn draw_links(random: &mut Random, hosts: usize) -> (Link, Vec<(usize, usize, Link)>) {
    let link = draw_link(random);
    let mut others = Vec::new();
    if random.percent(30.0) {
        for (from, to) in (0..hosts).flat_map(|from| (0..hosts).map(move |to| (from, to))) {
            if from != to && random.percent(40.0) {
                others.push((from, to, draw_link(random)));
            }
        }
    }
    (link, others)
}

fn draw_link(random: &mut Random) -> Link {
    Link {
        loss: *random.pick(&[0.0, 0.0, 2.0, 10.0, 30.0]),
        duplication: *random.pick(&[0.0, 0.0, 5.0, 25.0]),
        corruption: *random.pick(&[0.0, 0.0, 1.0]),
        delay: *random.pick(&[50, 100, 500, 20_000]),
        jitter: *random.pick(&[0, 100, 2_000, 200_000]),
        bandwidth: *random.pick(&[100_000, 10_000_000, 1_000_000_000]),
        breaks: *random.pick(&[0.0, 0.0, 5.0, 50.0]),
        cut: false,
    }
}
