//! The members of a cluster, as a node shows them to its program.

use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use cahoots_crdt::ReplicaId;

use crate::engine::{Stance, Standing};

/// A member of the cluster, this node included, as seen from here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// Its name.
    pub name: String,
    /// The replica it runs.
    pub id: ReplicaId,
    /// Where it says it can be reached.
    pub addr: SocketAddr,
    /// Where it says it takes streams; `None` if it does not.
    pub bulk: Option<SocketAddr>,
    /// Grows with every start of the member: its start time in milliseconds since 1970.
    pub incarnation: u64,
    /// Whether it is this node.
    pub is_self: bool,
    /// Whether it is a peer.
    pub state: MemberState,
    /// The version of its software.
    pub version: String,
    /// Where it says it stands.
    pub zone: Option<String>,
    /// Whether it says it serves clients, and has all that it knows of.
    pub ready: bool,
    /// How it stands.
    pub stance: Stance,
    /// Whether its streams can be had: by who catches up. Members without are live all the same.
    pub streams: Streams,
    /// Other live members, this node among them, that go by the same name. A moment of this is a restart elsewhere, and
    /// not shown.
    pub namesakes: Vec<ReplicaId>,
}

impl Member {
    /// What joiners and those who leave make of it: one that does not serve, or not any more, keeps nothing for others.
    pub(in crate::driver) fn relied_on_as(&self) -> Stance {
        let mut stance = self.stance.clone();
        if stance.standing.is_whole() && !self.ready {
            stance.standing = Standing::Joining;
        }
        stance
    }
}

/// Whether streams of a member can be had at the address that it announced for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Streams {
    /// It has not been tried, or announces no address for them.
    Untried,
    /// A connection was made there.
    Reachable {
        /// When that was found out.
        since: Instant,
    },
    /// None could be made.
    Unreachable {
        /// When that was found out.
        since: Instant,
    },
}

/// How a member stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemberState {
    /// Alive, and a peer (or this node).
    Live,
    /// Alive by what others tell, and no peer: it does not answer at the address that it announced.
    Unreachable(BrokenPath),
    /// Was a peer, and has shown no sign of life for the failure timeout.
    Down,
    /// Alive, and not a peer.
    Refused(PeerRefusal),
}

/// Why members were not forgotten.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForgetError {
    /// It is alive.
    #[error("{name:?} ({id}) at {addr} is alive; only a member that is down can be forgotten: stop it first")]
    Alive {
        /// Its name.
        name: String,
        /// Its id.
        id: ReplicaId,
        /// Where it is.
        addr: SocketAddr,
    },
    /// It is this node.
    #[error("that is this node itself; `cahoots leave` stops it")]
    OwnNode,
    /// This node has stopped.
    #[error("this node has stopped")]
    Stopped,
}

/// What is known of the way between this node and a member that does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BrokenPath {
    /// It has not been asked for long enough to say.
    Untried,
    /// Nothing that it sends to this node's announced address arrives.
    FromIt,
    /// What it sends arrives. What is sent to the address that it announced does not, or it does not know this node.
    ToIt,
    /// It answers short datagrams and no long ones.
    Large,
    /// Another member, or this node, answers at the address that it announced.
    Displaced,
}

impl fmt::Display for BrokenPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Untried => "it has not answered yet",
            Self::FromIt => {
                "nothing comes back from the address that it announced: is that address right, does a firewall let UDP \
                 through both ways, and can this node be reached at the address that it announces itself?"
            }
            Self::ToIt => {
                "what it sends arrives here, but it does not answer at the address that it announced: is that address \
                 right (--advertise), and does a firewall let UDP through to it?"
            }
            Self::Large => {
                "short datagrams are answered and those of full length are not: the MTU of the path is too small, or \
                 fragments are dropped"
            }
            Self::Displaced => {
                "another node answers at the address that it announced: is that address right (--advertise)?"
            }
        })
    }
}

/// Why a live member is not used as a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerRefusal {
    /// It runs under our replica id: a copied volume, or a restored image.
    OwnId,
    /// Another peer runs under the same replica id.
    DuplicateId,
    /// It speaks another version of the protocol.
    Protocol {
        /// What it announced.
        theirs: String,
    },
    /// It enforces other limits.
    Limits {
        /// What it announced.
        theirs: String,
    },
    /// Its announcement makes no sense.
    Malformed,
}

impl fmt::Display for PeerRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnId => f.write_str("it runs under the replica id of this node (a copied volume?)"),
            Self::DuplicateId => f.write_str("another live peer runs under the same replica id (a copied volume?)"),
            Self::Protocol { theirs } => write!(f, "it speaks protocol version {theirs}"),
            Self::Limits { theirs } => write!(f, "its limits differ from ours: {theirs}"),
            Self::Malformed => f.write_str("its announcement is malformed"),
        }
    }
}

impl PeerRefusal {
    /// Whether a restart looks like this for as long as the old incarnation has not been found dead.
    pub(in crate::driver) fn may_be_a_ghost(&self) -> bool {
        matches!(self, Self::OwnId | Self::DuplicateId)
    }
}
