//! The UDP socket: many datagrams per wake-up in both directions.
//!
//! Reading drains the socket into one arena before the engine is locked, so the lock is taken once per burst and never
//! held across a system call. There is no `recvmmsg` without unsafe code here; a `recvfrom` that finds data costs
//! about as much as copying the datagram. Writing a burst goes through `sendmmsg` on Linux.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use socket2::{Domain, Protocol, SockRef, Type};
use tokio::net::UdpSocket;

use super::config::StartError;
use super::counters::{Tally, Throttle};
use crate::engine::Transmit;

/// Kernel buffer asked for in each direction, in bytes: 3,500 full datagrams, about ten milliseconds of a gigabit.
/// A receiver that is not scheduled for that long loses nothing.
const KERNEL_BUFFER_BYTES: usize = 4 << 20;

/// The largest payload UDP carries over IPv4.
pub(super) const UDP_PAYLOAD_BYTES_MAX: usize = 65_507;

/// Datagrams read in one go are laid out here, one behind the other; reading stops when less than a full datagram
/// is left. 54 usual ones (1,200 bytes) fit behind each other.
const ARENA_BYTES: usize = 2 * (1 << 16);

/// The bound socket of a node.
pub(super) struct Endpoint {
    socket: UdpSocket,
    local: SocketAddr,
    complaint: Throttle,
}

/// A burst of received datagrams.
pub(super) struct Inbox {
    arena: Box<[u8]>,
    datagrams: Vec<(SocketAddr, std::ops::Range<usize>)>,
}

impl Inbox {
    pub(super) fn new() -> Self {
        Self { arena: vec![0; ARENA_BYTES].into_boxed_slice(), datagrams: Vec::new() }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        self.datagrams.iter().map(|(from, range)| (*from, &self.arena[range.clone()]))
    }
}

impl Endpoint {
    pub(super) fn bind(listen: SocketAddr) -> Result<Self, StartError> {
        let bind = || -> io::Result<UdpSocket> {
            let socket = socket2::Socket::new(Domain::for_address(listen), Type::DGRAM, Some(Protocol::UDP))?;
            if listen.is_ipv6() && listen.ip().is_unspecified() {
                // One port for both families, where the system allows it.
                let _ = socket.set_only_v6(false);
            }
            socket.set_nonblocking(true)?;
            socket.bind(&listen.into())?;
            // The kernel clamps silently; `log_buffers` says what it granted.
            socket.set_recv_buffer_size(KERNEL_BUFFER_BYTES)?;
            socket.set_send_buffer_size(KERNEL_BUFFER_BYTES)?;
            UdpSocket::from_std(socket.into())
        };
        let socket = bind().map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => StartError::AddressInUse { listen },
            _ => StartError::Bind { listen, source },
        })?;
        let local = socket.local_addr().map_err(|source| StartError::Bind { listen, source })?;
        let endpoint = Self { socket, local, complaint: Throttle::default() };
        endpoint.log_buffers();
        Ok(endpoint)
    }

    fn log_buffers(&self) {
        let socket = SockRef::from(&self.socket);
        // Linux reports twice what may be used for payload.
        let share = if cfg!(target_os = "linux") { 2 } else { 1 };
        let granted = [socket.recv_buffer_size(), socket.send_buffer_size()].map(|size| size.map_or(0, |b| b / share));
        if granted.iter().any(|granted| *granted < KERNEL_BUFFER_BYTES) {
            tracing::info!(
                receive_bytes = granted[0],
                send_bytes = granted[1],
                asked_bytes = KERNEL_BUFFER_BYTES,
                "the kernel grants smaller socket buffers than asked for (net.core.rmem_max, net.core.wmem_max)"
            );
        }
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Completes when there may be something to read. Cancel safe.
    pub(super) async fn readable(&self) {
        if self.socket.readable().await.is_err() {
            // Only a runtime that shuts down refuses readiness; this task ends with it.
            std::future::pending::<()>().await;
        }
    }

    /// Completes when there may be room to write. Cancel safe.
    pub(super) async fn writable(&self) {
        if self.socket.writable().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Reads until nothing is left or the inbox is full.
    pub(super) fn receive(&self, inbox: &mut Inbox, tally: &Tally) {
        inbox.datagrams.clear();
        let mut start = 0;
        while inbox.arena.len() - start >= UDP_PAYLOAD_BYTES_MAX {
            match self.socket.try_recv_from(&mut inbox.arena[start..]) {
                Ok((len, from)) => {
                    tally.datagrams_received.add(1);
                    tally.bytes_received.add(len);
                    inbox.datagrams.push((canonical(from), start..start + len));
                    start += len;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    // Errors of earlier sends, reported late (ICMP), or a lack of memory: the next read may be fine.
                    tally.receive_errors.add(1);
                    if let Some(suppressed) = self.complaint.pass() {
                        tracing::warn!(%error, suppressed, "reading the UDP socket failed");
                    }
                    break;
                }
            }
        }
    }

    /// Sends from the front of `queue` until it is empty; false when the socket is full, with the rest still queued.
    ///
    /// A datagram the kernel refuses for good is counted and dropped, as the network would have dropped it.
    pub(super) fn send(&self, queue: &mut VecDeque<Transmit>, tally: &Tally) -> bool {
        while let Some(front) = queue.front() {
            let sent = if cfg!(target_os = "linux") && queue.len() > 1 {
                self.send_burst(queue.make_contiguous())
            } else {
                self.socket.try_send_to(&front.datagram, self.reachable(front.to)).map(|_| 1)
            };
            match sent {
                Ok(count) => {
                    tally.datagrams_sent.add(count);
                    tally.bytes_sent.add(queue.drain(..count).map(|transmit| transmit.datagram.len()).sum());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) => {
                    let to = queue.pop_front().map(|transmit| transmit.to);
                    self.refused(to, &error, tally);
                }
            }
        }
        true
    }

    /// Sends one datagram now or not at all.
    pub(super) fn send_one(&self, to: SocketAddr, datagram: &[u8], tally: &Tally) -> bool {
        match self.socket.try_send_to(datagram, self.reachable(to)) {
            Ok(_) => {
                tally.datagrams_sent.add(1);
                tally.bytes_sent.add(datagram.len());
                true
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::WouldBlock {
                    self.refused(Some(to), &error, tally);
                }
                false
            }
        }
    }

    fn refused(&self, to: Option<SocketAddr>, error: &io::Error, tally: &Tally) {
        tally.send_errors.add(1);
        if let Some(suppressed) = self.complaint.pass() {
            tracing::warn!(to = to.map(tracing::field::display), %error, suppressed, "sending a datagram failed");
        }
    }

    /// How this socket names a peer: an IPv6 socket reaches IPv4 peers by their mapped addresses.
    fn reachable(&self, to: SocketAddr) -> SocketAddr {
        match to.ip() {
            IpAddr::V4(ip) if self.local.is_ipv6() => {
                SocketAddr::V6(SocketAddrV6::new(ip.to_ipv6_mapped(), to.port(), 0, 0))
            }
            _ => to,
        }
    }

    /// Offers up to [`BURST`] datagrams in one system call; how many of them the kernel took.
    #[cfg(target_os = "linux")]
    fn send_burst(&self, queue: &[Transmit]) -> io::Result<usize> {
        use std::io::IoSlice;

        use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, addr::SocketAddrArg};

        let burst = &queue[..queue.len().min(BURST)];
        let addresses: Vec<_> = burst.iter().map(|transmit| self.reachable(transmit.to).as_any()).collect();
        let slices: Vec<_> = burst.iter().map(|transmit| [IoSlice::new(&transmit.datagram)]).collect();
        let mut controls: Vec<_> = burst.iter().map(|_| SendAncillaryBuffer::default()).collect();
        let mut headers: Vec<_> = addresses
            .iter()
            .zip(&slices)
            .zip(&mut controls)
            .map(|((address, slice), control)| MMsgHdr::new_with_addr(address, slice, control))
            .collect();
        self.socket.try_io(tokio::io::Interest::WRITABLE, || {
            Ok(rustix::net::sendmmsg(&self.socket, &mut headers, SendFlags::DONTWAIT)?)
        })
    }

    #[cfg(not(target_os = "linux"))]
    fn send_burst(&self, queue: &[Transmit]) -> io::Result<usize> {
        self.socket.try_send_to(&queue[0].datagram, self.reachable(queue[0].to)).map(|_| 1)
    }
}

/// Datagrams offered to the kernel at once. Beyond a few dozen the saving per datagram is gone.
#[cfg(target_os = "linux")]
const BURST: usize = 64;

/// The address of a peer as everybody else names it: mapped IPv4 addresses of a dual-stack socket unmapped.
fn canonical(from: SocketAddr) -> SocketAddr {
    SocketAddr::new(from.ip().to_canonical(), from.port())
}
