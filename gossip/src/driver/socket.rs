//! The UDP socket: many datagrams per wake-up in both directions.
//!
//! Reading drains the socket into one arena before the engine is locked, so the lock is taken once per burst and never
//! held across a system call.
//!
//! Of the 4 to 5 microseconds that a datagram costs on loopback, entering the kernel is too little to show: `sendmmsg`
//! over bursts of 2, 8 and 64 was no faster than a loop. The way through the kernel is what costs, and a run of datagrams
//! of one size goes that way once (see `segments`): runs of 4 cost a third each, runs of 16 a seventh.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{Domain, Protocol, SockRef, Type};
use tokio::net::UdpSocket;

use super::config::StartError;
use super::counters::{Tally, Throttle};
use super::segments::{self, Reader};
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
    /// Whether the kernel takes runs.
    segments: AtomicBool,
    complaint: Throttle,
}

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// On its way.
    Taken,
    /// The kernel refused it, for good; counted.
    Refused,
    /// The socket takes no more for now.
    Full,
}

/// A burst of received datagrams.
pub(super) struct Inbox {
    arena: Box<[u8]>,
    reader: Reader,
    datagrams: Vec<(SocketAddr, std::ops::Range<usize>)>,
}

impl Inbox {
    pub(super) fn new() -> Self {
        Self { arena: vec![0; ARENA_BYTES].into_boxed_slice(), reader: Reader::new(), datagrams: Vec::new() }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        self.datagrams.iter().map(|(from, range)| (*from, &self.arena[range.clone()]))
    }
}

/// A UDP socket with large buffers, bound and ready for an asynchronous runtime.
pub(super) fn bind(listen: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = socket2::Socket::new(Domain::for_address(listen), Type::DGRAM, Some(Protocol::UDP))?;
    if listen.is_ipv6() && listen.ip().is_unspecified() {
        // One port for both families, where the system allows it: see `speaks`.
        let _ = socket.set_only_v6(false);
    }
    socket.set_nonblocking(true)?;
    socket.bind(&listen.into())?;
    // The kernel clamps silently; `log_buffers` says what it granted.
    socket.set_recv_buffer_size(KERNEL_BUFFER_BYTES)?;
    socket.set_send_buffer_size(KERNEL_BUFFER_BYTES)?;
    Ok(socket.into())
}

/// The families of a bound socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Families {
    pub(super) v4: bool,
    pub(super) v6: bool,
}

impl Families {
    /// Whether a socket of these can send to, and be reached at, an address.
    pub(super) fn include(self, address: SocketAddr) -> bool {
        if address.ip().to_canonical().is_ipv4() { self.v4 } else { self.v6 }
    }
}

/// The families that a socket speaks: one on all IPv6 addresses speaks both, unless the system forbids it.
pub(super) fn speaks<'a>(socket: impl Into<SockRef<'a>>, local: SocketAddr) -> Families {
    let v6 = local.is_ipv6();
    let both = v6 && local.ip().is_unspecified() && matches!(socket.into().only_v6(), Ok(false));
    Families { v4: !v6 || both, v6 }
}

impl Endpoint {
    pub(super) fn bind(listen: SocketAddr) -> Result<Self, StartError> {
        let socket = bind(listen).and_then(UdpSocket::from_std).map_err(|source| StartError::bind(listen, source))?;
        let local = socket.local_addr().map_err(|source| StartError::Bind { listen, source })?;
        let segments = AtomicBool::new(segments::enable(&socket));
        let endpoint = Self { socket, local, segments, complaint: Throttle::default() };
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

    pub(super) fn families(&self) -> Families {
        speaks(&self.socket, self.local)
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
            match inbox.reader.read(&self.socket, &mut inbox.arena[start..]) {
                Ok(read) => {
                    let (from, end) = (canonical(read.from), start + read.bytes);
                    // An empty datagram is one, too.
                    loop {
                        let next = end.min(start + read.datagram_bytes);
                        inbox.datagrams.push((from, start..next));
                        tally.datagrams_received.add(1);
                        start = next;
                        if start == end {
                            break;
                        }
                    }
                    tally.bytes_received.add(read.bytes);
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
        while let Some(front) = queue.front_mut() {
            if !self.send_run(front, tally) {
                return false;
            }
            queue.pop_front();
        }
        true
    }

    /// Sends a run, at once if the kernel takes it so; false when the socket is full, with the rest still in it.
    fn send_run(&self, run: &mut Transmit, tally: &Tally) -> bool {
        let (datagrams, bytes) = (run.datagrams().len(), run.bytes.len());
        let size = u16::try_from(run.datagram_bytes).ok().filter(|_| datagrams > 1 && bytes <= UDP_PAYLOAD_BYTES_MAX);
        let mut whole = None;
        if let Some(size) = size.filter(|_| self.segments.load(Ordering::Relaxed)) {
            match segments::send(&self.socket, self.reachable(run.to), &run.bytes, size) {
                Ok(()) => {
                    tally.datagrams_sent.add(datagrams);
                    tally.bytes_sent.add(bytes);
                    return true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) => whole = Some(error),
            }
        }
        let mut sent = 0;
        for datagram in run.datagrams() {
            match self.send_one(run.to, datagram, tally) {
                Sent::Full => break,
                Sent::Refused => {}
                // One by one it is taken: a card that cannot segment, or datagrams longer than it carries.
                Sent::Taken => {
                    if let Some(error) = whole.take() {
                        tracing::info!(%error, "the kernel takes no runs of datagrams; sending them one by one");
                        self.segments.store(false, Ordering::Relaxed);
                    }
                }
            }
            sent += datagram.len();
        }
        run.bytes.drain(..sent);
        run.bytes.is_empty()
    }

    /// Offers one datagram to the kernel.
    pub(super) fn send_one(&self, to: SocketAddr, datagram: &[u8], tally: &Tally) -> Sent {
        match self.socket.try_send_to(datagram, self.reachable(to)) {
            Ok(_) => {
                tally.datagrams_sent.add(1);
                tally.bytes_sent.add(datagram.len());
                Sent::Taken
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Sent::Full,
            Err(error) => {
                tally.send_errors.add(1);
                if let Some(suppressed) = self.complaint.pass() {
                    tracing::warn!(%to, %error, suppressed, "sending a datagram failed");
                }
                Sent::Refused
            }
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
}

/// The address of a peer as everybody else names it: mapped IPv4 addresses of a dual-stack socket unmapped.
pub(super) fn canonical(from: SocketAddr) -> SocketAddr {
    SocketAddr::new(from.ip().to_canonical(), from.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transmit(to: SocketAddr, byte: u8) -> Transmit {
        Transmit { to, bytes: vec![byte; 100], datagram_bytes: 100 }
    }

    fn endpoint(listen: &str) -> Endpoint {
        Endpoint::bind(listen.parse().unwrap()).unwrap()
    }

    async fn send_all(endpoint: &Endpoint, queue: &mut VecDeque<Transmit>, tally: &Tally) {
        while !endpoint.send(queue, tally) {
            endpoint.writable().await;
        }
    }

    async fn receive_some(endpoint: &Endpoint, inbox: &mut Inbox, tally: &Tally) {
        inbox.datagrams.clear();
        while inbox.datagrams.is_empty() {
            endpoint.readable().await;
            endpoint.receive(inbox, tally);
        }
    }

    #[tokio::test]
    async fn a_burst_longer_than_one_system_call_arrives_whole_and_in_order() {
        let (a, b, tally) = (endpoint("127.0.0.1:0"), endpoint("127.0.0.1:0"), Tally::default());
        let mut queue: VecDeque<_> = (0..200).map(|n| transmit(b.local_addr(), n)).collect();
        send_all(&a, &mut queue, &tally).await;
        let (mut inbox, mut next) = (Inbox::new(), 0);
        while next < 200 {
            receive_some(&b, &mut inbox, &tally).await;
            for (from, datagram) in inbox.iter() {
                assert_eq!((from, datagram), (a.local_addr(), &[next; 100][..]));
                next += 1;
            }
        }
        let counted = tally.snapshot();
        assert_eq!((counted.datagrams_sent, counted.bytes_sent), (200, 20_000));
        assert_eq!((counted.datagrams_received, counted.bytes_received), (200, 20_000));
    }

    #[tokio::test]
    async fn a_run_arrives_as_the_datagrams_it_is_made_of_whether_the_kernel_takes_it_at_once_or_not() {
        let (a, b, tally) = (endpoint("127.0.0.1:0"), endpoint("127.0.0.1:0"), Tally::default());
        let bytes: Vec<u8> = (0..16 * 1_200 - 700).map(|at: usize| at.to_le_bytes()[0]).collect();
        let run = Transmit { to: b.local_addr(), bytes, datagram_bytes: 1_200 };
        let (mut inbox, mut arrived) = (Inbox::new(), Vec::new());
        for taken_at_once in [true, false] {
            a.segments.fetch_and(taken_at_once, Ordering::Relaxed);
            send_all(&a, &mut [run.clone(), run.clone()].into(), &tally).await;
            while arrived.len() < 32 {
                receive_some(&b, &mut inbox, &tally).await;
                arrived.extend(inbox.iter().map(|(_, datagram)| datagram.to_vec()));
            }
            let expected = [&run, &run].into_iter().flat_map(Transmit::datagrams);
            assert!(arrived.drain(..).eq(expected));
        }
        let counted = tally.snapshot();
        assert_eq!((counted.datagrams_sent, counted.datagrams_received), (64, 64));
        assert_eq!(counted.bytes_sent, 4 * run.bytes.len() as u64);
    }

    #[tokio::test]
    async fn a_run_that_the_kernel_refuses_is_refused_datagram_by_datagram() {
        let (a, tally) = (endpoint("127.0.0.1:0"), Tally::default());
        let forbidden = "255.255.255.255:9".parse().unwrap();
        let run = Transmit { to: forbidden, bytes: vec![1; 250], datagram_bytes: 100 };
        let takes_runs = a.segments.load(Ordering::Relaxed);
        send_all(&a, &mut [run].into(), &tally).await;
        assert_eq!(tally.send_errors.get(), 3);
        assert_eq!(a.segments.load(Ordering::Relaxed), takes_runs, "the address is at fault, not the runs");
    }

    #[tokio::test]
    async fn a_datagram_the_kernel_refuses_is_counted_and_does_not_hold_up_the_others() {
        let (a, b, tally) = (endpoint("127.0.0.1:0"), endpoint("127.0.0.1:0"), Tally::default());
        // Broadcasting needs a permission that this socket does not have.
        let forbidden = "255.255.255.255:9".parse().unwrap();
        let order = [forbidden, b.local_addr(), forbidden, forbidden, b.local_addr()];
        let mut queue: VecDeque<_> = order.iter().map(|to| transmit(*to, 1)).collect();
        send_all(&a, &mut queue, &tally).await;
        assert_eq!((tally.send_errors.get(), tally.datagrams_sent.get()), (3, 2));
        assert_eq!(a.send_one(forbidden, b"x", &tally), Sent::Refused);
        assert_eq!(tally.send_errors.get(), 4);
        let (mut inbox, mut arrived) = (Inbox::new(), 0);
        while arrived < 2 {
            receive_some(&b, &mut inbox, &tally).await;
            arrived += inbox.iter().count();
        }
    }

    #[tokio::test]
    async fn datagrams_of_any_size_fit_the_inbox_and_a_full_inbox_leaves_the_rest_in_the_socket() {
        let (a, b, tally) = (endpoint("127.0.0.1:0"), endpoint("127.0.0.1:0"), Tally::default());
        let sizes = [UDP_PAYLOAD_BYTES_MAX, 0, 1, UDP_PAYLOAD_BYTES_MAX, 1200];
        for size in sizes {
            while a.send_one(b.local_addr(), &vec![7; size], &tally) == Sent::Full {
                a.writable().await;
            }
        }
        let (mut inbox, mut seen) = (Inbox::new(), Vec::new());
        while seen.len() < sizes.len() {
            receive_some(&b, &mut inbox, &tally).await;
            seen.extend(inbox.iter().map(|(_, datagram)| datagram.len()));
        }
        assert_eq!(seen, sizes);
    }

    #[tokio::test]
    async fn an_ipv6_socket_on_all_addresses_talks_to_ipv4_peers_under_their_own_addresses() {
        let (a, b, tally) = (endpoint("[::]:0"), endpoint("127.0.0.1:0"), Tally::default());
        let reach_a = SocketAddr::from(([127, 0, 0, 1], a.local_addr().port()));
        let mut inbox = Inbox::new();
        send_all(&b, &mut [transmit(reach_a, 1)].into(), &tally).await;
        receive_some(&a, &mut inbox, &tally).await;
        assert_eq!(inbox.iter().next().unwrap().0, b.local_addr());
        send_all(&a, &mut [transmit(b.local_addr(), 2), transmit(b.local_addr(), 3)].into(), &tally).await;
        receive_some(&b, &mut inbox, &tally).await;
        assert_eq!(inbox.iter().next().unwrap().0, reach_a);
    }

    #[tokio::test]
    async fn a_socket_knows_which_families_it_speaks() {
        let (four, six) = ("127.0.0.1:1".parse().unwrap(), "[::1]:1".parse().unwrap());
        let mapped = "[::ffff:127.0.0.1]:1".parse().unwrap();
        for (listen, speaks) in [("127.0.0.1:0", [true, false]), ("[::1]:0", [false, true]), ("[::]:0", [true, true])] {
            let families = endpoint(listen).families();
            assert_eq!([four, six].map(|address| families.include(address)), speaks, "{listen}");
            assert_eq!(families.include(mapped), speaks[0], "{listen}");
        }
    }
}
