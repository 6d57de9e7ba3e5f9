//! Presence.

use std::fmt;

use super::{AccessError, Node, typed};
use crate::driver::node::Handle;
use crate::store::Class;

/// Who is here: how many guards the nodes that are alive hold for a key.
///
/// One that is present holds a guard; dropping it, or the end of its node in whatever way, ends the presence. When a
/// member goes down, comes back or leaves, subscribers are told of the keys at which it was present.
///
/// ```
/// # use cahoots_gossip::driver::{Node, NodeConfig};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let node = Node::start(NodeConfig::new("alpha", "127.0.0.1:0".parse()?)).await?;
/// let room = node.presence("room:7");
/// let (ada, bob) = (room.join()?, room.join()?);
/// assert_eq!(room.count()?, 2);
/// drop(ada);
/// assert_eq!(room.count()?, 1);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Presence {
    node: Node,
    key: Box<[u8]>,
}

impl Presence {
    pub(super) fn new(node: Node, key: &[u8]) -> Self {
        Self { node, key: key.into() }
    }

    /// One more is present, until the guard is dropped.
    ///
    /// # Errors
    /// The key holds another type, a limit is exceeded, or the clock is too far ahead.
    pub fn join(&self) -> Result<PresenceGuard, AccessError> {
        self.node.read_now(|replica, now| typed(replica.store().at(now.wall), &self.key, Class::Presence).map(drop))?;
        self.node.shared().enter_presence(&self.key)?;
        Ok(PresenceGuard { node: self.node.downgrade(), key: self.key.clone() })
    }

    /// How many are present, over all live nodes.
    ///
    /// # Errors
    /// The key holds another type.
    pub fn count(&self) -> Result<u64, AccessError> {
        self.node.read_now(|replica, now| {
            typed(replica.store().at(now.wall), &self.key, Class::Presence)?;
            Ok(replica.present(now, &self.key))
        })
    }
}

/// A guard: one that is present. Does not keep its node running: with the node, all who were present at it are gone.
///
/// To be dropped outside of the functions given to [`Node::with`], [`Node::read`] and [`Node::group`].
#[must_use = "dropping the guard ends the presence"]
pub struct PresenceGuard {
    node: Handle,
    key: Box<[u8]>,
}

impl Drop for PresenceGuard {
    fn drop(&mut self) {
        if let Some(node) = self.node.upgrade() {
            node.shared().leave_presence(&self.key);
        }
    }
}

impl fmt::Debug for PresenceGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PresenceGuard").field("key", &String::from_utf8_lossy(&self.key)).finish_non_exhaustive()
    }
}
