//! What a replica tells about itself: events for the driver, and a status on request.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use cahoots_crdt::{ReplicaId, VersionVector};

use super::{Progress, Readiness, ReadyReason, Standing};
use crate::store::Fingerprint;
use crate::wire::Refusal;

/// Something its driver may want to log, count or pass on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A peer has applied more of this replica's events than before.
    Acked {
        /// The peer.
        peer: ReplicaId,
        /// It has applied own events up to here.
        seq: u64,
    },
    /// A peer has more of this replica's events on disk than before.
    Kept {
        /// The peer.
        peer: ReplicaId,
        /// It has own events up to here.
        seq: u64,
    },
    /// The peers know of no use of this replica's id but its own: what is written is told from now on.
    ProbationEnded,
    /// A peer and this replica have the same state.
    InSync {
        /// The peer.
        peer: ReplicaId,
    },
    /// Equal version vectors and different states: a bug or bad memory. The buckets are reconciled.
    FingerprintMismatch {
        /// The peer.
        peer: ReplicaId,
        /// The fingerprint here.
        ours: Fingerprint,
        /// The fingerprint there.
        theirs: Fingerprint,
    },
    /// Catching up from a peer by buckets has begun: its log does not reach back far enough.
    CatchingUp {
        /// The peer.
        peer: ReplicaId,
    },
    /// All buckets that were to be fetched are here.
    CaughtUp {
        /// For whose sake.
        peer: ReplicaId,
        /// How many buckets differed and were joined.
        buckets: usize,
    },
    /// The replica serves, or served already and is complete now.
    Ready {
        /// Why.
        reason: ReadyReason,
    },
    /// Some buckets could be fetched from no peer. What was joined stays joined; the rest is tried again.
    CatchUpBroken {
        /// For whose sake.
        peer: ReplicaId,
        /// How many buckets were joined.
        buckets: usize,
        /// How many are left to fetch.
        left: usize,
    },
    /// Streams to a peer cannot be had: catching up from it goes by datagrams, slower.
    StreamsFail {
        /// The peer.
        peer: ReplicaId,
    },
    /// Someone has events of this replica's id that it never minted: two processes use one id, or its disk lied.
    /// Nothing is done any more until another id is taken.
    IdentityConflict {
        /// Who told.
        peer: ReplicaId,
    },
    /// One dot of an origin names two events: two processes use its id, or its disk lied. What was applied here under
    /// that dot first stays; the origin is told.
    Forked {
        /// The origin.
        origin: ReplicaId,
        /// The dot's other part.
        seq: u64,
    },
    /// This replica's own clock is too far ahead of the cluster's (0: no longer); writing is refused meanwhile.
    ClockAhead {
        /// By how many milliseconds.
        ahead_ms: u64,
    },
    /// An event or transfer of a peer was refused: it breaks a rule that every replica keeps.
    Rejected {
        /// Who sent it.
        peer: ReplicaId,
        /// What was wrong.
        reason: String,
    },
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// How often things happened since the start.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
            /// Datagrams refused, by reason.
            pub refused: BTreeMap<Refusal, u64>,
        }

        impl Counters {
            /// Names and values, in the order of declaration; refusals not included.
            #[must_use]
            pub fn entries(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }
        }
    };
}

counters! {
    /// Datagrams sent.
    datagrams_sent,
    /// Bytes of datagrams sent.
    bytes_sent,
    /// Datagrams received and understood.
    datagrams_received,
    /// Bytes of those.
    bytes_received,
    /// Own events minted.
    events_minted,
    /// Own events sent to a peer for the first time.
    events_sent,
    /// Events of others applied.
    events_applied,
    /// Events received that were applied already.
    events_known,
    /// Events that had to wait for others.
    events_held,
    /// Events that no longer fitted the bound on waiting ones, or waited too long; they are asked for again.
    events_dropped,
    /// Times a gap in an origin's events was noticed and asked for.
    gaps_asked,
    /// Requests for events sent, for gaps and after digests.
    wants_sent,
    /// Times a peer was asked how far it is, its acknowledgement overdue.
    tails_probed,
    /// Digests sent.
    digests_sent,
    /// Version vectors sent, because digests differed.
    versions_sent,
    /// Sums over ranges of version vectors sent, because more differed than what is new.
    ranges_sent,
    /// Events of others passed on.
    relays_sent,
    /// Events not passed on to a peer because too many waited for it already; who lacks them asks.
    relays_dropped,
    /// Events sent because a peer asked for them.
    events_resent,
    /// Chunks of large events sent.
    chunks_sent,
    /// Large events put together.
    events_assembled,
    /// Large events given up, while they were put together, for lack of progress or room; they are asked for again.
    assemblies_dropped,
    /// Times catching up bucket by bucket was begun.
    reconciliations,
    /// Requests made of peers, for streams to carry.
    asks_made,
    /// Requests whose stream broke, took too long or found no peer, and those by datagrams that found no answer.
    asks_failed,
    /// Requests that went by datagrams, for lack of streams.
    asks_by_datagrams,
    /// Requests put off by a peer that had given out enough.
    asks_busy,
    /// Bytes of answers to own requests.
    bytes_fetched,
    /// Buckets joined from transfers.
    buckets_joined,
    /// Those of them of which only what they differed in was sent.
    buckets_refined,
    /// Buckets found equal in transfers.
    buckets_equal,
    /// Buckets that had changed when the transfer arrived.
    buckets_stale,
    /// Those of them of which the difference had come.
    differences_stale,
    /// Requests for differences that were too short for what differed.
    differences_undecoded,
    /// Requests of peers answered on streams, those put off included.
    asks_answered,
    /// Bytes of the answers that were not put off; of one that is written later, what its bucket takes in memory.
    bytes_answered,
    /// Events and transfers refused because they break a rule.
    rejected,
    /// Equal version vectors with unequal fingerprints.
    fingerprint_mismatches,
    /// Events that came again under a dot that names another one here.
    events_forked,
    /// Times another id was taken.
    identities_taken,
    /// Times the wall clock jumped.
    clock_steps,
    /// Keys that have expired, whoever removes them.
    keys_expired,
    /// Expired keys removed here, wholly or in part.
    keys_removed,
    /// Keys evicted here to keep memory within its bound.
    keys_evicted,
    /// Baselines of resets dropped because nothing needs them any more.
    baselines_collected,
    /// Messages published here.
    publications_made,
    /// Messages of other replicas that arrived whole.
    publications_heard,
    /// Messages of other replicas that did not arrive, as gaps in their numbers show.
    publications_lost,
    /// Messages that were not sent to, or not passed on to, a peer for which too much waited.
    publications_dropped,
    /// Control messages dropped because a peer's queue was full.
    messages_dropped,
}

/// A peer as this replica sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerStatus {
    /// Its id.
    pub id: ReplicaId,
    /// Where datagrams for it go.
    pub addr: SocketAddr,
    /// Whether membership holds it to be alive.
    pub live: bool,
    /// It has applied this replica's events up to here.
    pub acked: u64,
    /// How many of this replica's events it still lacks.
    pub lag_events: u64,
    /// Whether its state was equal when digests were last compared; `None` before the first.
    pub agrees: Option<bool>,
    /// Whether streams to it failed when last tried, so that catching up from it goes by datagrams.
    pub streams_fail: bool,
    /// Smoothed round-trip time in microseconds, acknowledgement delay included.
    pub rtt_us: Option<u64>,
}

/// A replica's account of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Its id.
    pub id: ReplicaId,
    /// Its last sealed event.
    pub seq: u64,
    /// What it has applied in every bucket.
    pub version_vector: VersionVector,
    /// Buckets that catching up has brought further than that.
    pub buckets_ahead: usize,
    /// The fingerprint of its state.
    pub fingerprint: Fingerprint,
    /// Live keys.
    pub keys: usize,
    /// Keys whose cells are of several types.
    pub clashes: usize,
    /// Baselines kept.
    pub baselines: usize,
    /// Bytes of the log of recent events.
    pub log_bytes: usize,
    /// Bytes of events that wait for others.
    pub held_bytes: usize,
    /// Entries in tables that are kept for one replica or another, the version vector aside.
    pub tracked: usize,
    /// Whether it is catching up by buckets.
    pub catching_up: bool,
    /// Whether it serves.
    pub readiness: Readiness,
    /// Whether it has what its cluster has.
    pub standing: Standing,
    /// How far it is with catching up.
    pub progress: Progress,
    /// Peers that went away with data which it was told of and has not got.
    pub owed_by: Vec<ReplicaId>,
    /// Milliseconds by which its clock is too far ahead for writing; 0 = it is not.
    pub clock_ahead_ms: u64,
    /// Peers, in order of their ids.
    pub peers: Vec<PeerStatus>,
    /// What happened so far.
    pub counters: Counters,
}
