//! Random lives of processes, seen by a roster, against an oracle that knows only who runs where.
//!
//! The oracle keeps no table: a live peer is a process that runs, is seen and answers, whatever its name; what was ever a
//! peer and did not leave, restart in place or take another id may be forgotten only past the bounds.

use super::*;
use crate::Limits;

/// A process that runs, or the shadow of one that has ended and is seen for a while.
#[derive(Clone)]
struct Process {
    name: usize,
    id: u64,
    addr: SocketAddr,
    incarnation: u64,
    runs: bool,
    leaving: bool,
    /// When it first and last answered.
    answered: Option<(Instant, Instant)>,
    reachable: bool,
}

struct World {
    random: u64,
    now: Instant,
    processes: Vec<Process>,
    ids: u64,
    addresses: usize,
    /// Ids that are known to be gone: left, replaced in place, given up.
    gone: BTreeSet<u64>,
}

const NAMES: usize = 3;
const GRACE: Duration = Duration::from_secs(8);

impl World {
    fn below(&mut self, bound: usize) -> usize {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.random >> 33) % bound as u64).unwrap()
    }

    fn start(&mut self) {
        let addr = SocketAddr::from(([10, 0, 0, 1], 1 + u16::try_from(self.below(self.addresses)).unwrap()));
        if self.processes.iter().any(|it| it.runs && it.addr == addr) {
            return;
        }
        self.ids += 1;
        let name = self.below(NAMES);
        // Clocks are set back, too; but no two processes start in one millisecond.
        let incarnation = 10_000 * self.below(50) as u64 + self.ids;
        let reachable = self.below(4) > 0;
        self.processes.push(Process {
            name,
            id: self.ids + 1,
            addr,
            incarnation,
            runs: true,
            leaving: false,
            answered: None,
            reachable,
        });
    }

    fn step(&mut self) {
        let hours = if self.below(40) == 0 { 10 } else { 0 };
        self.now += Duration::from_secs(1 + hours * 3600);
        if self.processes.is_empty() {
            self.start();
        }
        let at = self.below(self.processes.len());
        match self.below(8) {
            0 | 1 => self.start(),
            2 => self.processes[at].runs = false,
            3 if !self.processes[at].runs => drop(self.processes.remove(at)),
            4 => self.processes[at].leaving = true,
            5 => self.processes[at].reachable ^= true,
            6 if self.processes[at].runs && !self.processes[at].leaving => {
                self.ids += 1;
                let process = &mut self.processes[at];
                self.gone.insert(process.id);
                (process.id, process.answered) = (self.ids + 1, None);
            }
            _ => {}
        }
        for process in &mut self.processes {
            if process.runs && process.reachable && !process.leaving {
                let first = process.answered.map_or(self.now, |(first, _)| first);
                process.answered = Some((first, self.now));
            } else if process.runs {
                process.answered = None;
            }
            if process.leaving {
                self.gone.insert(process.id);
            }
        }
    }

    fn seen(&self) -> Vec<Seen> {
        let seen = |process: &Process| {
            let mut announcement = Announcement::new(ReplicaId::new(process.id), &Limits::default(), None, None);
            announcement.leaving = process.leaving;
            Seen {
                name: format!("n{}", process.name),
                incarnation: process.incarnation,
                addr: process.addr,
                announcement: Ok(announcement),
            }
        };
        self.processes.iter().map(seen).collect()
    }

    fn reached(&self, id: ReplicaId) -> Reached {
        let process = self.processes.iter().find(|process| ReplicaId::new(process.id) == id).unwrap();
        match process.answered {
            Some((first, last)) => Reached::Yes { first, last },
            None => Reached::No(BrokenPath::FromIt),
        }
    }

    /// Those that run and answer.
    fn live(&self) -> BTreeSet<u64> {
        let live = self.processes.iter().filter(|it| it.runs && it.reachable && !it.leaving);
        live.map(|it| it.id).collect()
    }
}

/// The engine's view, as the steps make it.
#[derive(Default)]
struct Engine {
    live: BTreeSet<u64>,
    down: BTreeSet<u64>,
}

impl Engine {
    fn take(&mut self, step: &Step) {
        match step {
            Step::Up { id, .. } => {
                self.down.remove(&id.get());
                self.live.insert(id.get());
            }
            Step::Down { id, .. } | Step::Unreachable { id, .. } if self.live.remove(&id.get()) => {
                self.down.insert(id.get());
            }
            Step::Gone { id, .. } => {
                assert!(self.live.remove(&id.get()) | self.down.remove(&id.get()), "{id} was no peer");
            }
            _ => {}
        }
    }
}

#[test]
fn whatever_processes_do_with_names_who_runs_and_answers_is_a_peer_and_nobody_else_for_long() {
    let (mut shared, mut replaced, mut forgotten) = (0, 0, 0);
    for seed in 0..300_u64 {
        let start = Instant::now();
        let addresses = if seed % 2 == 0 { 5 } else { 50 };
        let (processes, gone) = Default::default();
        let mut world = World { random: seed, now: start, processes, ids: 0, addresses, gone };
        let own = ("n0", 100_000, SocketAddr::from(([10, 0, 0, 1], 100)));
        let announced = Announcement::new(ReplicaId::new(1), &Limits::default(), None, None);
        let mut roster = Roster::new(own, announced, GRACE);
        let mut engine = Engine::default();
        for _ in 0..200 {
            world.step();
            let steps = roster.update(world.now, &world.seen(), |id, _| world.reached(id));
            for step in &steps {
                engine.take(step);
                match step {
                    Step::Shared { .. } => shared += 1,
                    Step::Gone { id, why, .. } if *why == DISPLACED => {
                        replaced += 1;
                        assert!(!world.live().contains(&id.get()), "seed {seed}: {id} runs and answers");
                    }
                    Step::Gone { id, why, .. } => {
                        forgotten += usize::from(why.starts_with("its name"));
                        let is_over = world.gone.contains(&id.get()) || why.starts_with("its name");
                        assert!(is_over, "seed {seed}: {id} is gone because {why}");
                    }
                    _ => {}
                }
            }
            let live = world.live();
            assert!(live.is_subset(&engine.live), "seed {seed}: of {live:?} the engine has {:?}", engine.live);
            // A shadow may count until it is found dead; but never at the address of one that runs and answers.
            for id in engine.live.difference(&live) {
                let shadow = world.processes.iter().find(|it| it.id == *id).expect("who is not seen is not live");
                let holder = world.processes.iter().find(|it| live.contains(&it.id) && it.addr == shadow.addr);
                assert!(!shadow.runs && holder.is_none(), "seed {seed}: {id} is no peer");
            }
            let shown: BTreeSet<u64> = roster.members().iter().map(|member| member.id.get()).collect();
            assert!(engine.live.union(&engine.down).all(|id| shown.contains(id)), "seed {seed}: {shown:?}");
            let replaced = |name: &str| {
                let members = roster.members();
                let is_live = members.iter().any(|it| it.name == name && it.state == MemberState::Live);
                let down = members.iter().filter(|it| it.name == name && it.state == MemberState::Down).count();
                !is_live || down <= REPLACED_MAX
            };
            assert!((0..NAMES).all(|name| replaced(&format!("n{name}"))), "seed {seed}: more than the bound");
        }
    }
    assert!(shared > 0 && replaced > 0 && forgotten > 0, "{shared} {replaced} {forgotten}");
}
