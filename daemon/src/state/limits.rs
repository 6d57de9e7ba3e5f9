//! What clients may cost, each bound with its reason. What happens at a bound stands there too.

use std::time::Duration;

use crate::resp::FrameLimits;

/// Bounds on clients. What a key or a value may be is the cluster's agreement, not this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The shape of one frame. Past it: a protocol error, and the connection is closed.
    pub frame: FrameLimits,
    /// Bytes a connection may have sent that are not executed yet. Past it, in half a frame, the connection is cut;
    /// behind a `WAIT` reading pauses before.
    pub query_bytes_max: usize,
    /// The same over all connections: ten thousand clients with half a frame each must not end the daemon. The
    /// connection that would pass it is cut.
    pub query_bytes_total_max: usize,
    /// A connection with so many bytes of replies to send executes nothing further until they are sent, so its
    /// output is never larger than this and one reply.
    pub output_pause_bytes: usize,
    /// Past this even one reply is too large to keep: the connection is cut.
    pub output_bytes_max: usize,
    /// A connection that has taken nothing of its replies for so long is cut.
    pub output_stall: Duration,
    /// Connections at once. One more is told so and closed.
    pub clients_max: usize,
    /// Numbered databases, from 0 on. At most 256.
    pub databases: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame: FrameLimits {
                // Redis's.
                inline_bytes_max: 64 << 10,
                // Eight times the largest value the engine takes by default: so that a value too large is refused by a
                // plain error, and a length that makes no sense closes the connection.
                bulk_bytes_max: 64 << 20,
                // Redis's long-standing bound.
                args_max: 1 << 20,
            },
            // Two of the largest arguments.
            query_bytes_max: 128 << 20,
            query_bytes_total_max: 1 << 30,
            // A few reads' worth of small replies: enough to fill the socket's buffer many times.
            output_pause_bytes: 1 << 20,
            output_bytes_max: 256 << 20,
            output_stall: Duration::from_secs(60),
            // Redis's default.
            clients_max: 10_000,
            databases: 16,
        }
    }
}
