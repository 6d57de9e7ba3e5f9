//! Registers.

use std::time::Duration;

use super::key::deadline_in;
use super::{Access, AccessError, Node, typed};
use crate::store::Class;

/// A value that is replaced as a whole: of several written at once the latest by clock wins.
///
/// ```
/// # use cahoots_gossip::driver::{Node, NodeConfig};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let node = Node::start(NodeConfig::new("alpha", "127.0.0.1:0".parse()?)).await?;
/// let motto = node.register("motto");
/// assert_eq!(motto.get()?, None);
/// motto.set("no server in between")?;
/// assert_eq!(motto.get()?.as_deref(), Some(&b"no server in between"[..]));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Register<A = Node> {
    access: A,
    key: Box<[u8]>,
}

impl<A: Access> Register<A> {
    pub(super) fn new(access: A, key: &[u8]) -> Self {
        Self { access, key: key.into() }
    }

    /// Replaces the value.
    ///
    /// # Errors
    /// The key holds another type, a limit is exceeded, or the clock is too far ahead.
    pub fn set(&self, value: impl AsRef<[u8]>) -> Result<(), AccessError> {
        let value = value.as_ref();
        self.access.write(self.key.len() + value.len(), |writer| {
            typed(writer.moment(), &self.key, Class::Text)?;
            Ok(writer.set(&self.key, value)?)
        })
    }

    /// Replaces the value by one that is there for so much time.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn set_for(&self, value: impl AsRef<[u8]>, time: Duration) -> Result<(), AccessError> {
        let value = value.as_ref();
        self.access.write(self.key.len() + value.len(), |writer| {
            typed(writer.moment(), &self.key, Class::Text)?;
            let deadline = deadline_in(writer.moment().now(), time);
            Ok(writer.set_until(&self.key, value, Some(deadline))?)
        })
    }

    /// The value; `None` if there is none.
    ///
    /// # Errors
    /// The key holds another type.
    pub fn get(&self) -> Result<Option<Vec<u8>>, AccessError> {
        self.with(|value| value.map(<[u8]>::to_vec))
    }

    /// What `f` makes of the value, without a copy. `f` runs with everything else of this node at a standstill: keep it
    /// short, and use no handle of the node in it.
    ///
    /// # Errors
    /// The key holds another type.
    pub fn with<R>(&self, f: impl FnOnce(Option<&[u8]>) -> R) -> Result<R, AccessError> {
        self.access.read(|moment| {
            let text = typed(moment, &self.key, Class::Text)?.and_then(|view| view.text());
            Ok(f(text.as_deref()))
        })
    }
}
