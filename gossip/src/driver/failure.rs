//! Why a node ends by itself.

use std::net::SocketAddr;

use cahoots_crdt::ReplicaId;
use thiserror::Error;

/// What a node cannot go on with. It has stopped: nothing is sent any more, and no peer is told that it leaves.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NodeFailure {
    /// Another live process runs under the replica id with which this one started, and has done so for longer: a copied
    /// volume, a restored image, or the same id configured twice. Of two such processes the younger ends, or changes
    /// would be lost; also if it has found out by what others know, and has taken another id meanwhile.
    #[error(
        "replica id {id} is in use by the node {name:?} at {addr}, which was started earlier: one of the two is a copy of \
         the other"
    )]
    IdentityConflict {
        /// The id.
        id: ReplicaId,
        /// How the other process calls itself.
        name: String,
        /// Where it is.
        addr: SocketAddr,
    },
}
