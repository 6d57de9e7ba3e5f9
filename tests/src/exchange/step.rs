//! One thing that happens between stores.

use std::ops::Range;

use crate::client::Request;

/// Replicas are numbered; events and messages by their place in what there is, modulo how much there is.
#[derive(Clone, Debug)]
pub enum Step {
    /// A client runs a group of operations.
    Write(usize, Vec<Request>),
    /// FLUSHALL.
    Clear(usize),
    /// The flush window is closed.
    Seal(usize),
    /// From the log of the first, the next event that the second lacks of an origin is offered to it.
    Send(usize, usize, usize),
    /// The same for all of them, of all origins, over and over until nothing moves.
    SendAll(usize, usize),
    /// Some event of an origin from the log of the first, whether the second wants it or not.
    Resend(usize, usize, usize, usize),
    /// The second asks the first for these buckets; the answer is on its way.
    Ask(usize, usize, Range<usize>),
    /// The second sends the first a sketch of these buckets, of so many symbols; if it can be decoded, what they differ
    /// in is on its way.
    Sketch(usize, usize, Range<usize>, usize),
    /// The second is handed all buckets of the first at once.
    Transfer(usize, usize),
    /// Something under way arrives; it may arrive again if `true`.
    Arrive(usize, bool),
    /// Something under way is lost.
    Lose(usize),
    /// The second hears what the first has applied, at once.
    Ack(usize, usize),
    /// The same, but under way.
    SlowAck(usize, usize),
    /// The second hears in short what the first has: if it has the same, that says everything.
    Digest(usize, usize),
    /// The same, but under way.
    SlowDigest(usize, usize),
    /// Of the log of some origin only the last so many events are kept.
    Cut(usize, usize, usize),
    /// Memory is lost; the replica starts anew under a new id.
    Crash(usize),
    /// So many milliseconds pass.
    Tick(u64),
    /// The wall clock of a replica is so many milliseconds off.
    Skew(usize, u64),
    /// The id of a replica is in doubt: from now on it tells nobody anything.
    Doubt(usize),
    /// The doubt has turned out to be unfounded.
    Trust(usize),
    /// The replica goes on under another id.
    Rename(usize),
}

impl Step {
    /// The replica that tells somebody something in this step.
    pub(super) fn speaker(&self) -> Option<usize> {
        match *self {
            Self::Send(from, ..)
            | Self::SendAll(from, _)
            | Self::Resend(from, ..)
            | Self::Ask(from, ..)
            | Self::Sketch(from, ..) => Some(from),
            Self::Transfer(from, _) | Self::Ack(from, _) | Self::Digest(from, _) => Some(from),
            Self::SlowAck(from, _) | Self::SlowDigest(from, _) => Some(from),
            _ => None,
        }
    }

    /// The replicas whose state it may change. Of what arrives, the world knows where.
    pub(super) fn touches(&self) -> [Option<usize>; 2] {
        match *self {
            Self::Write(at, _) | Self::Clear(at) | Self::Seal(at) | Self::Crash(at) | Self::Rename(at) => {
                [Some(at), None]
            }
            Self::Send(_, to, _) | Self::SendAll(_, to) | Self::Resend(_, to, ..) | Self::Ack(_, to) => {
                [Some(to), None]
            }
            Self::Ask(from, to, _) | Self::Sketch(from, to, ..) | Self::Transfer(from, to) | Self::Digest(from, to) => {
                [Some(from), Some(to)]
            }
            Self::SlowDigest(from, _) => [Some(from), None],
            Self::Arrive(..)
            | Self::Lose(_)
            | Self::SlowAck(..)
            | Self::Cut(..)
            | Self::Tick(_)
            | Self::Skew(..)
            | Self::Doubt(_)
            | Self::Trust(_) => [None, None],
        }
    }
}
