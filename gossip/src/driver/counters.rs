//! What the driver counts. The engine counts its own side: refused datagrams, resends, repairs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A counter that threads add to without ordering anything else by it.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, n: usize) {
        self.0.fetch_add(n as u64, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counts since the node started. Each only grows.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Counters { $($(#[$doc])* pub $name: u64,)* }

        /// The live counters behind [`Counters`].
        #[derive(Debug, Default)]
        pub(super) struct Tally { $(pub(super) $name: Counter,)* }

        impl Tally {
            pub(super) fn snapshot(&self) -> Counters {
                Counters { $($name: self.$name.get(),)* }
            }
        }
    };
}

counters! {
    /// Datagrams taken from the socket.
    datagrams_received,
    /// Bytes in them, without IP and UDP headers.
    bytes_received,
    /// Datagrams the kernel accepted.
    datagrams_sent,
    /// Bytes in them, without IP and UDP headers.
    bytes_sent,
    /// Datagrams the engine refused: foreign clusters, other versions, wrong keys, garbage.
    datagrams_refused,
    /// Datagrams the kernel refused with an error other than "try again".
    send_errors,
    /// Times the socket was full and sending paused until it was writable.
    send_blocked,
    /// Datagrams dropped because too many waited for a full socket; the engine sends what they held again.
    datagrams_dropped,
    /// Errors of reading the socket.
    receive_errors,
    /// Membership messages from peers, handed to chitchat.
    membership_received,
    /// Membership messages sent.
    membership_sent,
    /// Membership payloads that did not decode, or would have unpacked beyond any honest size.
    membership_malformed,
    /// Membership messages dropped because chitchat had too many waiting, or the socket was full.
    membership_dropped,
    /// Membership messages too large for one UDP datagram, not sent.
    membership_oversize,
    /// Times chitchat stopped by itself and was started again.
    membership_restarts,
    /// Probes sent, and answers to those of others.
    probes_sent,
    /// Probes of members received.
    probes_received,
    /// Live members refused as peers: duplicate ids, other limits or protocol.
    members_refused,
    /// Times a name was found to be that of several live members.
    names_shared,
    /// Times a live member was found not to answer at the address that it announced.
    members_unreachable,
    /// Connections for streams made to peers, those left out that only find out whether they can be made.
    bulk_connections_made,
    /// Connections for streams that peers made, also those that only find out whether they can be made.
    bulk_connections_accepted,
    /// Connections for streams refused: other keys, strangers, too many.
    bulk_connections_refused,
    /// Times the streams of a peer were found not to be had.
    bulk_unreachable,
    /// Requests of the engine carried to peers.
    bulk_asked,
    /// Those of them that brought no answer: no address, no connection, a stream that broke or stood still.
    bulk_failed,
    /// Bytes of the answers that came.
    bulk_bytes_received,
    /// Requests of peers answered.
    bulk_answered,
    /// Requests of peers refused: malformed, of strangers, or for another replica.
    bulk_refused,
    /// Answers that their asker did not take in time.
    bulk_broken,
    /// Bytes of the answers given.
    bulk_bytes_sent,
    /// Long answers begun to be given.
    bulk_long_answers,
    /// Long answers of peers that were put off, because another was under way.
    bulk_long_deferred,
}

/// Lets a repeated complaint through once per interval and counts the rest.
#[derive(Debug, Default)]
pub(super) struct Throttle(std::sync::Mutex<ThrottleState>);

#[derive(Debug, Default)]
struct ThrottleState {
    last: Option<Instant>,
    suppressed: u64,
}

/// How often one kind of complaint may be logged.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

impl Throttle {
    /// Whether to log now, and how many were held back since the last one.
    pub(super) fn pass(&self) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = Instant::now();
        if state.last.is_some_and(|last| now.duration_since(last) < COMPLAINT_INTERVAL) {
            state.suppressed += 1;
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_complaint_passes_once_and_the_rest_are_counted() {
        let throttle = Throttle::default();
        assert_eq!(throttle.pass(), Some(0));
        assert_eq!(throttle.pass(), None);
        assert_eq!(throttle.pass(), None);
        assert_eq!(throttle.0.lock().unwrap().suppressed, 2);
    }

    #[test]
    fn a_snapshot_shows_what_was_counted() {
        let tally = Tally::default();
        tally.bytes_sent.add(7);
        tally.bytes_sent.add(5);
        assert_eq!(tally.snapshot(), Counters { bytes_sent: 12, ..Counters::default() });
    }
}
