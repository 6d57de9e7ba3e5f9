//! Counters.

use super::{Access, AccessError, Node, typed};
use crate::store::Class;

/// A number that is added to. Every addition counts, at whichever node and however many at once.
///
/// The same key read as a [`Register`](super::Register) is the number in decimal digits, as in Redis.
///
/// ```
/// # use cahoots_gossip::driver::{Node, NodeConfig};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let node = Node::start(NodeConfig::new("alpha", "127.0.0.1:0".parse()?)).await?;
/// let hits = node.counter("hits");
/// assert_eq!(hits.value()?, 0);
/// assert_eq!(hits.add(3)?, 3);
/// assert_eq!(hits.add(-5)?, -2);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Counter<A = Node> {
    access: A,
    key: Box<[u8]>,
}

impl<A: Access> Counter<A> {
    pub(super) fn new(access: A, key: &[u8]) -> Self {
        Self { access, key: key.into() }
    }

    /// Adds `delta`; the sum as this node knows it. O(1). Additions in quick succession, with nothing else written or read
    /// at the node between them, cost a quarter of the first.
    ///
    /// # Errors
    /// The key holds another type or a text that is no number, the sum would leave 64 bits, a limit is exceeded, or the
    /// clock is too far ahead.
    pub fn add(&self, delta: i64) -> Result<i64, AccessError> {
        self.access.add(&self.key, delta).map_err(|error| AccessError::of(Class::Text, error))
    }

    /// The sum. 128 bits: what several nodes add at once may leave 64, and is kept exactly.
    ///
    /// # Errors
    /// The key holds another type, or a text that is no number.
    pub fn value(&self) -> Result<i128, AccessError> {
        self.access.read(|moment| match typed(moment, &self.key, Class::Text)? {
            Some(view) => Ok(view.count()?),
            None => Ok(0),
        })
    }
}
