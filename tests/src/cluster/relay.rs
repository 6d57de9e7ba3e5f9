//! A network of our own making: datagrams between daemons pass through here, and not all of them arrive.
//!
//! Every daemon has a front: the address it advertises. What comes to a front from another daemon leaves, if it
//! leaves, from that one's front, so daemons see each other only at their fronts. No privileges needed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cahoots_gossip::Dot;

use crate::listener::Listener;
use crate::sim::Random;

/// What the network does to datagrams.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Of 100 datagrams, how many vanish.
    pub loss: f64,
    /// Of 100, how many come twice.
    pub duplication: f64,
    /// Longest time under way in microseconds, drawn for each: they overtake each other.
    pub delay: u64,
    /// Links nothing passes: from, to.
    pub cut: Vec<(usize, usize)>,
}

/// Counts of what was done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Datagrams passed on.
    pub passed: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Stopped at a cut link.
    pub cut: u64,
}

type Delayed = Reverse<(Instant, u64, usize, usize, Vec<u8>)>;

struct State {
    faults: Faults,
    random: Random,
    counts: Counts,
    /// There while events are listened to.
    listener: Option<Listener>,
    delayed: BinaryHeap<Delayed>,
    ties: u64,
    /// Where the daemons really listen, as far as they have started.
    daemons: Vec<Option<SocketAddr>>,
}

struct Shared {
    state: Mutex<State>,
    more: Condvar,
    done: AtomicBool,
    fronts: Vec<UdpSocket>,
}

/// A running relay. Ends when dropped.
pub struct Relay {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    threads: Vec<JoinHandle<()>>,
}

impl Relay {
    /// A faultless relay before so many daemons, which are still to be attached.
    ///
    /// # Panics
    /// If the system gives no sockets.
    #[must_use]
    pub fn start(daemons: usize, seed: u64) -> Self {
        let front = |_| {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
            // Looks up now and then, to see whether the test has ended.
            socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
            socket
        };
        let fronts: Vec<UdpSocket> = (0..daemons).map(front).collect();
        let addresses = fronts.iter().map(|front| front.local_addr().expect("bound")).collect();
        let state = State {
            faults: Faults::default(),
            random: Random::new(seed),
            counts: Counts::default(),
            listener: None,
            delayed: BinaryHeap::new(),
            ties: 0,
            daemons: vec![None; daemons],
        };
        let shared =
            Arc::new(Shared { state: Mutex::new(state), more: Condvar::new(), done: AtomicBool::new(false), fronts });
        let mut threads: Vec<_> = (0..daemons)
            .map(|to| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || shared.take_in(to))
            })
            .collect();
        let sender = Arc::clone(&shared);
        threads.push(std::thread::spawn(move || sender.send_on()));
        Self { shared, addresses, threads }
    }

    /// Says where a daemon listens.
    ///
    /// # Panics
    /// If a thread of the relay panicked.
    pub fn attach(&self, number: usize, daemon: SocketAddr) {
        self.shared.state.lock().expect("no thread panicked").daemons[number] = Some(daemon);
    }

    /// The addresses daemons advertise, in their order.
    #[must_use]
    pub fn fronts(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What happens to datagrams from now on.
    ///
    /// # Panics
    /// If a thread of the relay panicked.
    pub fn set(&self, faults: Faults) {
        self.shared.state.lock().expect("no thread panicked").faults = faults;
    }

    /// Cuts the link between two daemons, both ways, for all pairs of one from each side.
    pub fn split(&self, side: &[usize], other: &[usize]) {
        let pairs = side.iter().flat_map(|&a| other.iter().flat_map(move |&b| [(a, b), (b, a)]));
        self.set(Faults { cut: pairs.collect(), ..Faults::default() });
    }

    /// Listens to every event from now on, in a cluster of this name without a key, and can be shown disks.
    ///
    /// # Panics
    /// If a thread of the relay panicked.
    pub fn listen(&self, cluster: &str) {
        let listener = Listener::thorough(cluster);
        self.shared.state.lock().expect("no thread panicked").listener = Some(listener);
    }

    /// Compares what a data directory holds with everything heard and read so far.
    ///
    /// # Panics
    /// If a thread of the relay panicked, nobody listens, or the directory cannot be read.
    pub fn read_disk(&self, directory: &std::path::Path) {
        let mut state = self.shared.state.lock().expect("no thread panicked");
        crate::disk_log::hear(directory, state.listener.as_mut().expect("somebody listens"));
    }

    /// How many different events were heard or read so far, how many cells in transfers, and the dots that name two events.
    ///
    /// # Panics
    /// If a thread of the relay panicked, or nobody listens.
    #[must_use]
    pub fn heard(&self) -> (u64, u64, Vec<Dot>) {
        let state = self.shared.state.lock().expect("no thread panicked");
        let listener = state.listener.as_ref().expect("somebody listens");
        (listener.events(), listener.transferred(), listener.forks.clone())
    }

    /// What was done so far.
    ///
    /// # Panics
    /// If a thread of the relay panicked.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.state.lock().expect("no thread panicked").counts
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.done.store(true, Ordering::Relaxed);
        self.shared.more.notify_all();
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

impl Shared {
    /// Takes in what is sent to the front of daemon `to`.
    fn take_in(&self, to: usize) {
        let mut buffer = vec![0; 1 << 16];
        while !self.done.load(Ordering::Relaxed) {
            let Ok((length, source)) = self.fronts[to].recv_from(&mut buffer) else { continue };
            let mut guard = self.state.lock().expect("no thread panicked");
            let state = &mut *guard;
            let Some(from) = state.daemons.iter().position(|daemon| *daemon == Some(source)) else { continue };
            if let Some(listener) = &mut state.listener {
                listener.hear(&buffer[..length]);
            }
            if state.faults.cut.contains(&(from, to)) {
                state.counts.cut += 1;
                continue;
            }
            if state.random.percent(state.faults.loss) {
                state.counts.lost += 1;
                continue;
            }
            let copies = if state.random.percent(state.faults.duplication) { 2 } else { 1 };
            for _ in 0..copies {
                let delay = Duration::from_micros(state.random.below(state.faults.delay + 1));
                state.ties += 1;
                state.counts.passed += 1;
                let entry = (Instant::now() + delay, state.ties, from, to, buffer[..length].to_vec());
                state.delayed.push(Reverse(entry));
            }
            self.more.notify_all();
        }
    }

    /// Sends on what is due.
    fn send_on(&self) {
        let mut state = self.state.lock().expect("no thread panicked");
        while !self.done.load(Ordering::Relaxed) {
            let now = Instant::now();
            let wait = match state.delayed.peek() {
                Some(Reverse((due, ..))) if *due <= now => {
                    let Some(Reverse((_, _, from, to, datagram))) = state.delayed.pop() else { continue };
                    if let Some(daemon) = state.daemons[to] {
                        // A daemon that was killed refuses: so would its host.
                        let _ = self.fronts[from].send_to(&datagram, daemon);
                    }
                    continue;
                }
                Some(Reverse((due, ..))) => *due - now,
                None => Duration::from_millis(100),
            };
            state = self.more.wait_timeout(state, wait).expect("no thread panicked").0;
        }
    }
}
