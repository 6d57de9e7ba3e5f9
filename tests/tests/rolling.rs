//! Rolling restarts in memory: one process after the other hands over, ends and starts again with nothing. What was
//! acknowledged must be there in the end, whatever the network and the clocks do meanwhile, and nobody may be taken for
//! complete that is not.
//!
//! `CAHOOTS_ROLLING_SEEDS=1000` for more of them, `CAHOOTS_ROLLING_SEED=n` to replay one.

use cahoots_gossip::engine::{ReplicaConfig, Standing};
use cahoots_tests::client::{Reply, Request};
use cahoots_tests::oracle::{Action, Shown};
use cahoots_tests::sim::{Clocks, Link, Random, World};

const SECOND: u64 = 1_000_000;
/// Runs in CI.
const SEEDS: u64 = 20;
/// Virtual microseconds within which a process hands over, and one that starts is complete.
const PATIENCE: u64 = 120 * SECOND;

/// One run, and what its clients know.
struct Roll {
    world: World,
    random: Random,
    /// What was added to the counter and acknowledged.
    total: i64,
    /// Keys that were set.
    keys: Vec<String>,
}

impl Roll {
    fn draw(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let hosts = *random.pick(&[2, 3, 3, 4, 5]);
        let mut config = ReplicaConfig::default();
        config.log_bytes_max = *random.pick(&[0, 20_000, 64 << 20]);
        config.transfer_bytes = *random.pick(&[2_000, 128 << 10]);
        let mut world = World::new(seed, hosts, config);
        world.joins = true;
        world.streams_blocked = random.percent(50.0);
        if random.percent(50.0) {
            // The first one, as in many a configuration, has no seeds, and thinks after a restart that it is the first again.
            world.founders.insert(0);
        }
        world.detector().delay = (10_000, 500_000);
        let loss = *random.pick(&[0.0, 0.0, 10.0, 30.0]);
        for (from, to) in (0..hosts).flat_map(|from| (0..hosts).map(move |to| (from, to))) {
            world.set_link(from, to, Link { loss, jitter: 1_000, ..Link::default() });
        }
        for host in 0..hosts {
            world.start(host);
        }
        let mut roll = Self { world, random, total: 0, keys: Vec::new() };
        for host in 0..hosts {
            roll.wait_until_complete(host);
        }
        roll
    }

    /// Clients write for a while, at whoever runs and serves.
    fn write_for(&mut self, micros: u64) {
        let until = self.world.now + micros;
        while self.world.now < until {
            let mut serving = self.world.alive();
            serving.retain(|host| self.world.process(*host).engine.is_ready());
            if !serving.is_empty() {
                let host = *self.random.pick(&serving);
                self.write(host);
            }
            self.world.advance(self.random.between(1_000, 60_000));
        }
    }

    fn write(&mut self, host: usize) {
        if self.world.write(host, &[Request("total".into(), Action::Add(1))]) == [Reply::Done] {
            self.total += 1;
        }
        if self.random.percent(10.0) {
            let bytes = *self.random.pick(&[10, 3_000, 60_000]);
            let key = format!("key{}", self.world.now);
            let set = Request(key.clone().into(), Action::Set(vec![b'v'; bytes]));
            if self.world.write(host, &[set]) == [Reply::Done] {
                self.keys.push(key);
            }
        }
    }

    fn wait_until_complete(&mut self, host: usize) {
        let begun = self.world.now;
        while self.world.process(host).engine.standing() != Standing::Complete {
            assert!(self.world.now - begun < PATIENCE, "host {host} is not complete:\n{}", self.world.describe());
            self.write_for(50_000);
        }
    }

    /// All clocks, or one, step by an hour or two, or are right again.
    fn step_clocks(&mut self) {
        let wall_error = *self.random.pick(&[3_600_000, 7_200_000, -3_600_000, 0]);
        let only = self.random.percent(50.0).then(|| self.random.index(self.world.hosts()));
        for host in (0..self.world.hosts()).filter(|host| only.is_none_or(|only| only == *host)) {
            self.world.set_clocks(host, Clocks { wall_error, ..Clocks::default() });
        }
    }

    /// Cuts a host off from all others, or ends that.
    fn cut_off(&mut self, host: usize, cut: bool) {
        for other in (0..self.world.hosts()).filter(|other| *other != host) {
            self.world.cut(host, other, cut);
            self.world.cut(other, host, cut);
        }
    }

    fn restart(&mut self, host: usize) {
        assert!(self.world.hand_over(host, PATIENCE), "host {host} does not hand over:\n{}", self.world.describe());
        self.world.crash(host);
        let pause = self.random.between(0, 3 * SECOND);
        self.write_for(pause);
        // In some runs it is cut off for so long that it gives up waiting for the others and serves alone.
        let is_cut_off = self.random.percent(30.0);
        self.cut_off(host, is_cut_off);
        self.world.start(host);
        if is_cut_off {
            self.write_for(5 * SECOND);
            let alone = if self.world.founders.contains(&host) { Standing::Complete } else { Standing::Alone };
            assert_eq!(self.world.process(host).engine.standing(), alone);
            self.cut_off(host, false);
            // Until it has met those who know more it is alone; then, for a while, incomplete.
            self.write_for(2 * SECOND);
        }
        self.wait_until_complete(host);
    }

    fn run(mut self) {
        self.write_for(2 * SECOND);
        for host in (0..self.world.hosts()).chain(0..self.world.hosts()) {
            if self.random.percent(30.0) {
                self.step_clocks();
            }
            self.restart(host);
            self.write_for(SECOND / 2);
        }
        self.world.heal(&[]);
        for host in self.world.alive() {
            assert_eq!(self.world.shown(host, "total"), Shown::text(&self.total.to_string()), "at host {host}");
            for key in &self.keys {
                assert_ne!(self.world.shown(host, key), Shown::Nothing, "{key} at host {host}");
            }
        }
    }
}

#[test]
fn a_rolling_restart_of_everybody_in_memory_loses_nothing() {
    let number = |name| std::env::var(name).ok().and_then(|it| it.parse::<u64>().ok());
    let seeds = match number("CAHOOTS_ROLLING_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("CAHOOTS_ROLLING_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        if let Err(panic) = std::panic::catch_unwind(|| Roll::draw(seed).run()) {
            eprintln!("replay: CAHOOTS_ROLLING_SEED={seed} cargo test -p cahoots-tests --test rolling");
            std::panic::resume_unwind(panic);
        }
    }
}
