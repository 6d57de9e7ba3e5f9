//! Votes.

use super::{Access, AccessError, Node, typed};
use crate::engine::Tally;
use crate::store::Class;

/// A ballot per replica, counted over the replicas that are alive.
///
/// Each node has one ballot; casting again replaces it and touches no other. A tally is what the live replicas have
/// cast, as this node knows them and it. When a member goes down, comes back or leaves, subscribers are told of the key
/// although nothing was written.
///
/// A vote finds out what the others want; it is no election. Two nodes may tally at the same moment and see different
/// outcomes.
///
/// ```
/// # use cahoots_gossip::driver::{Node, NodeConfig};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let node = Node::start(NodeConfig::new("alpha", "127.0.0.1:0".parse()?)).await?;
/// let schema = node.vote("schema");
/// schema.cast("v1")?;
/// schema.cast("v2")?;
/// let tally = schema.tally()?;
/// assert_eq!((tally.votes_for("v1"), tally.votes_for("v2")), (0, 1));
/// assert!(tally.silent.is_empty());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Vote<A = Node> {
    access: A,
    key: Box<[u8]>,
}

impl<A: Access> Vote<A> {
    pub(super) fn new(access: A, key: &[u8]) -> Self {
        Self { access, key: key.into() }
    }

    /// Casts this replica's ballot, in place of its earlier one.
    ///
    /// # Errors
    /// The key holds another type, the ballot is longer than [`BALLOT_BYTES_MAX`](crate::store::BALLOT_BYTES_MAX), a
    /// limit is exceeded, or the clock is too far ahead.
    pub fn cast(&self, ballot: impl AsRef<[u8]>) -> Result<(), AccessError> {
        let ballot = ballot.as_ref();
        self.access.write(self.key.len() + ballot.len(), |writer| {
            typed(writer.moment(), &self.key, Class::Vote)?;
            Ok(writer.cast(&self.key, Class::Vote, ballot)?)
        })
    }

    /// Withdraws this replica's ballot; says whether there was one.
    ///
    /// # Errors
    /// The key holds another type, or the clock is too far ahead.
    pub fn withdraw(&self) -> Result<bool, AccessError> {
        self.access.write(self.key.len(), |writer| {
            typed(writer.moment(), &self.key, Class::Vote)?;
            Ok(writer.withdraw(&self.key, Class::Vote)?)
        })
    }
}

impl Vote {
    /// Who of the live replicas has cast what, and who has cast nothing.
    ///
    /// # Errors
    /// The key holds another type.
    pub fn tally(&self) -> Result<Tally, AccessError> {
        self.access.read_now(|replica, now| {
            typed(replica.store().at(now.wall), &self.key, Class::Vote)?;
            Ok(replica.tally(now, &self.key))
        })
    }
}
