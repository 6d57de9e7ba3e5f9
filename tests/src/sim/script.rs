//! Histories told by hand: nothing is delivered unless the script says so.
//!
//! Hosts are called by letters, `a` being host 0. Time stands still while a script delivers, so no timer resends,
//! asks or gossips behind its back; [`Script::heal`] lets everything run and insists on agreement.

use cahoots_gossip::engine::ReplicaConfig;

use super::World;
use super::process::Waiting;
use crate::client::{Reply, Request};
use crate::commands::{Commands, number};
use crate::oracle::{Action, Shown};

/// A world in the hands of a script.
pub struct Script {
    /// The world itself.
    pub world: World,
}

impl Script {
    /// So many replicas that know each other and have nothing under way.
    #[must_use]
    pub fn new(hosts: usize) -> Self {
        Self::with_config(hosts, ReplicaConfig::default())
    }

    /// The same with a configuration.
    #[must_use]
    pub fn with_config(hosts: usize, config: ReplicaConfig) -> Self {
        let mut world = World::new(7, hosts, config);
        world.detector().delay = (1_000, 2_000);
        for host in 0..hosts {
            world.start(host);
        }
        world.introduce();
        world.advance(3_000_000);
        world.network.hold(true);
        Self { world }
    }

    /// Several operations of one group.
    pub fn group(&mut self, host: char, group: &[(&str, Action)]) -> Vec<Reply> {
        let group: Vec<_> = group.iter().map(|(key, action)| Request((*key).into(), action.clone())).collect();
        let replies = self.world.write(number(host), &group);
        self.world.check();
        replies
    }

    /// Closes the flush window: what was done in it is one event, on its way to everybody.
    pub fn seal(&mut self, host: char) {
        self.world.flush(number(host));
        self.world.check();
    }

    /// Delivers what waits on this link, in order.
    pub fn deliver(&mut self, from: char, to: char) {
        let to = number(to);
        for flight in self.world.network.take_held(number(from), to) {
            self.world.arrive(to, Waiting { source: flight.source, datagram: flight.datagram, damaged: false });
            self.world.check();
        }
    }

    /// Loses what waits on this link.
    pub fn lose(&mut self, from: char, to: char) {
        drop(self.world.network.take_held(number(from), number(to)));
    }

    /// Loses everything that waits anywhere.
    pub fn lose_all(&mut self) {
        self.world.network.hold(true);
    }

    /// Seals at one host and delivers to another at once, back and forth, until the two are silent.
    pub fn sync(&mut self, from: char, to: char) {
        self.seal(from);
        self.deliver(from, to);
    }

    /// Lets only these hosts talk, everything as fast as it can, for a while.
    pub fn mingle(&mut self, hosts: &str, micros: u64) {
        let inside: Vec<usize> = hosts.chars().map(number).collect();
        self.world.network.hold(false);
        for from in 0..self.world.hosts() {
            for to in 0..self.world.hosts() {
                let open = inside.contains(&from) && inside.contains(&to);
                self.world.network.link(from, to).cut = !open;
            }
        }
        self.world.advance(micros);
        self.world.check();
        self.world.network.hold(true);
        (0..self.world.hosts())
            .for_each(|from| (0..self.world.hosts()).for_each(|to| self.world.network.link(from, to).cut = false));
    }

    /// kill -9.
    pub fn crash(&mut self, host: char) {
        self.world.crash(number(host));
    }

    /// A process with empty memory where one died.
    pub fn start(&mut self, host: char) {
        self.world.start(number(host));
        self.world.introduce();
    }

    /// Lets everything run and insists that all agree soon, that nothing is lost, and that all show `expected`.
    ///
    /// # Panics
    /// If not.
    pub fn heal(&mut self, key: &str, expected: &Shown) {
        self.world.network.hold(false);
        let dead: Vec<usize> = (0..self.world.hosts()).collect();
        self.world.heal(&dead);
        for host in self.world.alive() {
            assert_eq!(self.world.shown(host, key), *expected, "host {host}");
        }
    }
}

impl Commands for Script {
    fn run(&mut self, at: char, key: &str, action: &Action) {
        let replies = self.world.write(number(at), &[Request(key.into(), action.clone())]);
        assert_eq!(replies, [Reply::Done], "{at}: {key} {action:?}");
        self.world.check();
    }

    fn shown(&self, at: char, key: &str) -> Shown {
        self.world.shown(number(at), key)
    }
}
