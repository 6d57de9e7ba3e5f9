//! A connected socket, of either kind.
//!
//! tokio's own streams listen for "readable" and "writable" at once. On a Unix socket the kernel reports "writable" each
//! time the client has read something, so a daemon that answers every request would be woken twice for each: once by
//! the request, once by the client taking the reply. Here "writable" is listened for only while the socket is full.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll, ready};

use rustix::net::{RecvFlags, SendFlags, Shutdown};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A non-blocking stream socket.
pub(super) struct Socket {
    /// `None` only within [`listen_for`](Self::listen_for), or after it has failed.
    file: Option<AsyncFd<OwnedFd>>,
}

impl Socket {
    /// Takes over a connected, non-blocking socket.
    pub(super) fn new(socket: OwnedFd) -> io::Result<Self> {
        Ok(Self { file: Some(register(socket, Interest::READABLE)?) })
    }

    fn file(&self) -> io::Result<&AsyncFd<OwnedFd>> {
        self.file.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Reads what is there, at most `buffer`; 0 at the end of the stream.
    pub(super) fn poll_read(&self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let file = self.file()?;
        loop {
            let mut guard = ready!(file.poll_read_ready(context))?;
            let read = guard.try_io(|file| Ok(rustix::net::recv(file, &mut *buffer, RecvFlags::empty())?.0));
            match read {
                Ok(Ok(read)) => {
                    if read > 0 && read < buffer.len() {
                        // All there was: the next read would find nothing. The kernel tells when there is more.
                        guard.clear_ready();
                    }
                    return Poll::Ready(Ok(read));
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }

    /// Writes what the socket takes at once: `None` if it is full.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<Option<usize>> {
        loop {
            return match rustix::net::send(self.file()?.as_fd(), bytes, SendFlags::NOSIGNAL) {
                Ok(written) => Ok(Some(written)),
                Err(rustix::io::Errno::AGAIN) => Ok(None),
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => Err(error.into()),
            };
        }
    }

    /// Writes once the socket takes bytes again. Only after [`Socket::await_room`].
    pub(super) fn poll_write(&self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let file = self.file()?;
        loop {
            let mut guard = ready!(file.poll_write_ready(context))?;
            let written = guard.try_io(|file| Ok(rustix::net::send(file, bytes, SendFlags::NOSIGNAL)?));
            match written {
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(written) => return Poll::Ready(written),
                Err(_would_block) => {}
            }
        }
    }

    /// Whether to be told when the socket takes bytes, too.
    pub(super) fn await_room(&mut self, awaited: bool) -> io::Result<()> {
        self.listen_for(if awaited { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE })
    }

    /// Registers anew. What is readable or writable already is reported again, so nothing is missed.
    fn listen_for(&mut self, interest: Interest) -> io::Result<()> {
        let file = self.file.take().ok_or(io::ErrorKind::NotConnected)?;
        self.file = Some(register(file.into_inner(), interest)?);
        Ok(())
    }

    /// Tells the client that nothing more comes.
    pub(super) fn shutdown(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(self.file()?.as_fd(), Shutdown::Write)?)
    }
}

#[expect(
    deprecated,
    reason = "its successor is unsafe for the sake of types that lend a descriptor; an OwnedFd keeps its own"
)]
fn register(socket: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(socket, interest)
}
