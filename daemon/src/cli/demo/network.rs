//! A network that can be cut, without privileges: small UDP relays between the daemons of the demo.
//!
//! Every daemon tells its peers the address of its relay instead of its own. What arrives there goes on to the daemon
//! from a socket that stands for the sender, so that answers come back the same way; nothing of it is changed. To cut
//! the network is to drop, in both directions, what would pass between the two sides.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::net::UdpSocket;

/// Daemons in the demo.
pub(super) const NODES: usize = 3;
/// Larger than any datagram of the daemons.
const DATAGRAM_BYTES_MAX: usize = 65_536;

/// What the relays look at for every datagram.
#[derive(Default)]
struct Switch {
    cut: AtomicBool,
    dropped: AtomicU64,
    /// Where the daemons really listen, once that is known.
    daemons: Mutex<[Option<SocketAddr>; NODES]>,
}

impl Switch {
    fn daemon(&self, node: usize) -> Option<SocketAddr> {
        self.daemons.lock().unwrap_or_else(PoisonError::into_inner)[node]
    }

    /// Who sends from this address.
    fn node_at(&self, address: SocketAddr) -> Option<usize> {
        (0..NODES).find(|&node| self.daemon(node) == Some(address))
    }

    /// Whether a datagram passes. The first daemon is on one side, the others on the other.
    fn lets_pass(&self, from: usize, to: usize) -> bool {
        let apart = (from == 0) != (to == 0);
        let passes = !(apart && self.cut.load(Ordering::Relaxed));
        if !passes {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        passes
    }
}

/// The relays, running on the current tokio runtime.
pub(super) struct Network {
    switch: Arc<Switch>,
    /// What the daemons advertise.
    pub(super) addresses: [SocketAddr; NODES],
}

impl Network {
    pub(super) async fn start() -> io::Result<Self> {
        let switch = Arc::new(Switch::default());
        let mut addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); NODES];
        for (to, address) in addresses.iter_mut().enumerate() {
            let front = Arc::new(loopback().await?);
            *address = front.local_addr()?;
            // Stands for sender `from` where `to` is concerned.
            let backs = [Arc::new(loopback().await?), Arc::new(loopback().await?), Arc::new(loopback().await?)];
            for (from, back) in backs.iter().enumerate() {
                tokio::spawn(answers(Arc::clone(&switch), Arc::clone(back), Arc::clone(&front), from, to));
            }
            tokio::spawn(arrivals(Arc::clone(&switch), front, backs, to));
        }
        Ok(Self { switch, addresses })
    }

    /// Tells where a daemon really listens. Before that nothing passes to or from it.
    pub(super) fn place(&self, node: usize, address: SocketAddr) {
        self.switch.daemons.lock().unwrap_or_else(PoisonError::into_inner)[node] = Some(address);
    }

    pub(super) fn set_cut(&self, cut: bool) {
        self.switch.cut.store(cut, Ordering::Relaxed);
    }

    /// How many datagrams the cut has dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.switch.dropped.load(Ordering::Relaxed)
    }
}

async fn loopback() -> io::Result<UdpSocket> {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await
}

/// What the others send to `to`.
async fn arrivals(switch: Arc<Switch>, front: Arc<UdpSocket>, backs: [Arc<UdpSocket>; NODES], to: usize) {
    let mut datagram = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        // Errors of UDP sockets are reports of earlier losses, and losses are what daemons are made for.
        let Ok((length, source)) = front.recv_from(&mut datagram).await else { continue };
        let Some(from) = switch.node_at(source) else { continue };
        if let Some(daemon) = switch.daemon(to).filter(|_| switch.lets_pass(from, to)) {
            let _ = backs[from].send_to(&datagram[..length], daemon).await;
        }
    }
}

/// What `to` answers to `from`.
async fn answers(switch: Arc<Switch>, back: Arc<UdpSocket>, front: Arc<UdpSocket>, from: usize, to: usize) {
    let mut datagram = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let Ok((length, source)) = back.recv_from(&mut datagram).await else { continue };
        if switch.node_at(source) != Some(to) || !switch.lets_pass(to, from) {
            continue;
        }
        if let Some(daemon) = switch.daemon(from) {
            let _ = front.send_to(&datagram[..length], daemon).await;
        }
    }
}
