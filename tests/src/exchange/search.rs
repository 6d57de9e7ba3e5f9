//! Drawing histories, and cutting a failing one down to what it needs.

use super::{Step, World};
use crate::sim::{Random, Workload};

/// What a history is made of.
#[derive(Clone, Debug)]
pub struct Mix {
    /// How many replicas there are.
    pub replicas: usize,
    /// Bytes after which a flush window closes by itself.
    pub window_bytes_max: usize,
    /// Everything that happens.
    pub steps: Vec<Step>,
}

/// Runs a history to its end and heals it. Returns how many operations, joined buckets, joined differences, stale
/// ones, undecoded sketches and dropped baselines it had.
///
/// # Errors
/// The message of the panic that ended it.
pub fn attempt(mix: &Mix) -> Result<[u64; 6], String> {
    crate::attempt(|| {
        let mut world = World::new(mix.replicas, mix.window_bytes_max);
        mix.steps.iter().for_each(|step| world.take(step));
        world.heal();
        [world.operations(), world.joins, world.refined, world.stale, world.undecoded, world.collected]
    })
}

/// The history that belongs to `seed`.
#[must_use]
pub fn draw(seed: u64) -> Mix {
    let mut random = Random::new(seed);
    let replicas = *random.pick(&[2, 3, 3, 4, 5]);
    let length = *random.pick(&[15, 30, 60, 120]);
    let is_volatile = random.percent(40.0);
    let mut drawn = random.fork(1);
    let mut workload = match is_volatile {
        true => Workload::draw_volatile(&mut drawn, 4, &[0, 1, 2, 3, 5, 8]),
        false => Workload::draw(&mut drawn),
    };
    let window_bytes_max = *random.pick(&[40, 300, 1_000, 1_000]);
    let (crashes, skews, clears) = (random.percent(40.0), random.percent(30.0), random.percent(20.0));
    let doubts = random.percent(30.0);
    let mut steps = Vec::new();
    for _ in 0..length {
        let (a, b) = (random.index(replicas), random.index(replicas));
        let number = random.index(9);
        let (start, count) = (random.index(1_024), *random.pick(&[1_024, 1_024, 300]));
        steps.push(match random.below(100) {
            0..2 if doubts => Step::Doubt(a),
            2..5 if doubts => Step::Rename(a),
            5 if doubts => Step::Trust(a),
            0..34 => Step::Write(a, workload.group(&mut random)),
            34..44 => Step::Seal(a),
            44..60 if a != b => Step::Send(a, b, number),
            60..66 if a != b => Step::SendAll(a, b),
            66..68 if a != b => Step::Resend(a, b, number, random.index(9)),
            68..73 if a != b => {
                let buckets = if count == 1_024 { 0..1_024 } else { start..(start + count).min(1_024) };
                match *random.pick(&[0, 0, 8, 30, 100]) {
                    0 => Step::Ask(a, b, buckets),
                    symbols => Step::Sketch(a, b, buckets, symbols),
                }
            }
            73..75 if a != b => Step::Transfer(a, b),
            75..84 => Step::Arrive(number, random.percent(20.0)),
            84..86 => Step::Lose(number),
            86..90 if a != b => Step::Ack(a, b),
            90..92 if a != b => Step::SlowAck(a, b),
            92 if a != b => Step::Digest(a, b),
            93 if a != b => Step::SlowDigest(a, b),
            94..96 => Step::Cut(a, number, random.index(3)),
            96 if crashes => Step::Crash(a),
            97 if skews => Step::Skew(a, random.below(5_000)),
            98 if clears => Step::Clear(a),
            _ => Step::Tick(random.below(3)),
        });
    }
    Mix { replicas, window_bytes_max, steps }
}

/// Leaves out of a failing history whatever it fails without.
#[must_use]
pub fn shrink(mix: Mix, failure: String) -> (Mix, String) {
    let (mut mix, mut failure) = (mix, failure);
    let mut size = mix.steps.len().div_ceil(2);
    loop {
        let (mut at, mut shorter) = (0, false);
        while at < mix.steps.len() {
            let mut fewer = mix.clone();
            drop(fewer.steps.drain(at..(at + size).min(mix.steps.len())));
            match attempt(&fewer) {
                Err(other) => (mix, failure, shorter) = (fewer, other, true),
                Ok(_) => at += size,
            }
        }
        if size == 1 && !shorter {
            return (mix, failure);
        }
        size = (size / 2).max(1);
    }
}
