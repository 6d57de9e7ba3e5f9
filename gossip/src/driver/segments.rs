//! Segmentation offload: a run of datagrams in one system call.
//!
//! Of what a datagram costs, most is its way through the kernel: route, queue, wake-up. Linux takes a run of datagrams of
//! one size as one packet as far as it can, mostly to the network card, or on one machine to the receiving socket, and
//! hands the receiver several that arrived together in one read (`UDP_SEGMENT`, `UDP_GRO`; de Bruijn, Dumazet,
//! *Optimizing UDP for content delivery: GSO, pacing and zerocopy*, 2018). Elsewhere everything is sent one by one.

use std::io;
use std::net::SocketAddr;

use tokio::net::UdpSocket;

/// What one read has brought: datagrams of `datagram_bytes` each, the last perhaps shorter, one behind the other.
pub(super) struct Read {
    pub(super) from: SocketAddr,
    pub(super) bytes: usize,
    pub(super) datagram_bytes: usize,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod offload {
    use std::io::{IoSlice, IoSliceMut};
    use std::os::fd::AsRawFd;

    use nix::cmsg_space;
    use nix::sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt,
    };
    use tokio::io::Interest;

    use super::*;

    /// Asks for runs to be read in one go.
    pub(in super::super) fn enable(socket: &UdpSocket) -> bool {
        setsockopt(socket, sockopt::UdpGroSegment, &true).is_ok()
    }

    /// Offers datagrams of `datagram_bytes` each to the kernel, all or none.
    pub(in super::super) fn send(
        socket: &UdpSocket,
        to: SocketAddr,
        bytes: &[u8],
        datagram_bytes: u16,
    ) -> io::Result<()> {
        socket.try_io(Interest::WRITABLE, || {
            let segments = [ControlMessage::UdpGsoSegments(&datagram_bytes)];
            let (bytes, to) = ([IoSlice::new(bytes)], SockaddrStorage::from(to));
            sendmsg(socket.as_raw_fd(), &bytes, &segments, MsgFlags::empty(), Some(&to))?;
            Ok(())
        })
    }

    /// Reads what has arrived, without waiting.
    pub(in super::super) struct Reader {
        control: Vec<u8>,
    }

    impl Reader {
        pub(in super::super) fn new() -> Self {
            Self { control: cmsg_space!(i32) }
        }

        pub(in super::super) fn read(&mut self, socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Read> {
            socket.try_io(Interest::READABLE, || {
                let mut buffer = [IoSliceMut::new(buffer)];
                let control = Some(&mut self.control[..]);
                let read = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut buffer, control, MsgFlags::empty())?;
                let bytes = read.bytes;
                let datagram_bytes = read.cmsgs()?.find_map(|it| match it {
                    ControlMessageOwned::UdpGroSegments(size) => usize::try_from(size).ok().filter(|size| *size > 0),
                    _ => None,
                });
                let from = read.address.and_then(|it| address_of(&it)).ok_or(io::ErrorKind::InvalidData)?;
                Ok(Read { from, bytes, datagram_bytes: datagram_bytes.unwrap_or(bytes) })
            })
        }
    }

    fn address_of(address: &SockaddrStorage) -> Option<SocketAddr> {
        let v4 = address.as_sockaddr_in().map(|it| SocketAddr::V4((*it).into()));
        v4.or_else(|| address.as_sockaddr_in6().map(|it| SocketAddr::V6((*it).into())))
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod offload {
    use super::*;

    pub(in super::super) fn enable(_: &UdpSocket) -> bool {
        false
    }

    pub(in super::super) fn send(_: &UdpSocket, _: SocketAddr, _: &[u8], _: u16) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Reads what has arrived, without waiting.
    pub(in super::super) struct Reader;

    impl Reader {
        pub(in super::super) fn new() -> Self {
            Self
        }

        pub(in super::super) fn read(&mut self, socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Read> {
            let (bytes, from) = socket.try_recv_from(buffer)?;
            Ok(Read { from, bytes, datagram_bytes: bytes })
        }
    }
}

pub(super) use offload::{Reader, enable, send};
