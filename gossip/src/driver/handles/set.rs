//! Sets.

use super::{Access, AccessError, Node, typed};
use crate::store::Class;

/// A set of byte strings in which adding wins: a member added while it is removed elsewhere stays.
///
/// ```
/// # use cahoots_gossip::driver::{Node, NodeConfig};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let node = Node::start(NodeConfig::new("alpha", "127.0.0.1:0".parse()?)).await?;
/// let cart = node.set("cart");
/// assert!(cart.insert("milk")? && cart.contains("milk")?);
/// assert_eq!(cart.members()?, [b"milk"]);
/// assert!(cart.remove("milk")? && cart.is_empty()?);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Set<A = Node> {
    access: A,
    key: Box<[u8]>,
}

impl<A: Access> Set<A> {
    pub(super) fn new(access: A, key: &[u8]) -> Self {
        Self { access, key: key.into() }
    }

    /// Adds a member; says whether it was absent. One that is present is asserted anew.
    ///
    /// # Errors
    /// The key holds another type, a limit is exceeded, or the clock is too far ahead.
    pub fn insert(&self, member: impl AsRef<[u8]>) -> Result<bool, AccessError> {
        let member = member.as_ref();
        self.access.write(self.key.len() + member.len(), |writer| {
            writer.insert(&self.key, Class::Set, member, b"").map_err(|error| AccessError::of(Class::Set, error))
        })
    }

    /// Removes a member; says whether there was one.
    ///
    /// # Errors
    /// The key holds another type, or the clock is too far ahead.
    pub fn remove(&self, member: impl AsRef<[u8]>) -> Result<bool, AccessError> {
        let member = member.as_ref();
        self.access.write(self.key.len() + member.len(), |writer| {
            typed(writer.moment(), &self.key, Class::Set)?;
            Ok(writer.remove(&self.key, Class::Set, member)?)
        })
    }

    /// Whether it has this member.
    ///
    /// # Errors
    /// The key holds another type.
    pub fn contains(&self, member: impl AsRef<[u8]>) -> Result<bool, AccessError> {
        self.access
            .read(|moment| Ok(typed(moment, &self.key, Class::Set)?.is_some_and(|view| view.contains(member.as_ref()))))
    }

    /// How many members there are.
    ///
    /// # Errors
    /// The key holds another type.
    pub fn len(&self) -> Result<usize, AccessError> {
        self.access.read(|moment| Ok(typed(moment, &self.key, Class::Set)?.map_or(0, |view| view.len())))
    }

    /// Whether there is none.
    ///
    /// # Errors
    /// The key holds another type.
    pub fn is_empty(&self) -> Result<bool, AccessError> {
        Ok(self.len()? == 0)
    }

    /// The members at this moment, in no order. O(members), during which this node does nothing else.
    ///
    /// # Errors
    /// The key holds another type.
    pub fn members(&self) -> Result<Vec<Vec<u8>>, AccessError> {
        self.access.read(|moment| {
            let view = typed(moment, &self.key, Class::Set)?;
            Ok(view.iter().flat_map(|view| view.iter()).map(|(member, _)| member.to_vec()).collect())
        })
    }
}
