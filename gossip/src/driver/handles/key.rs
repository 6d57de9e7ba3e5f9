//! A key as such, whatever it holds: whether it is there, and when it ends.

use std::time::Duration;

use super::{Access, AccessError};

/// A key, of whatever type.
///
/// ```
/// # use std::time::Duration;
/// # use cahoots_gossip::driver::{Node, NodeConfig};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let node = Node::start(NodeConfig::new("alpha", "127.0.0.1:0".parse()?)).await?;
/// node.set("session:7").insert("Ada")?;
/// let session = node.key("session:7");
/// assert!(session.expire_in(Duration::from_secs(60))?);
/// assert!(session.time_to_live().is_some_and(|left| left > Duration::from_secs(59)));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Key<A = super::Node> {
    access: A,
    key: Box<[u8]>,
}

impl<A: Access> Key<A> {
    pub(super) fn new(access: A, key: &[u8]) -> Self {
        Self { access, key: key.into() }
    }

    /// Whether there is such a key.
    pub fn exists(&self) -> bool {
        self.access.read(|moment| moment.view(&self.key).is_some())
    }

    /// Has the key end in so much time: every node hides it from then on, and one of them removes it. What is written to
    /// it until then ends with it, but a register that is set begins anew. Says whether there is such a key.
    ///
    /// # Errors
    /// The clock is too far ahead of the cluster's.
    pub fn expire_in(&self, time: Duration) -> Result<bool, AccessError> {
        self.write(|now| Some(deadline_in(now, time)))
    }

    /// Has the key end at a time, in milliseconds since 1970. One that has passed deletes the key.
    ///
    /// # Errors
    /// The clock is too far ahead of the cluster's.
    pub fn expire_at(&self, wall_ms: u64) -> Result<bool, AccessError> {
        self.write(|_| Some(wall_ms))
    }

    /// Has the key never end. Says whether it would have.
    ///
    /// # Errors
    /// The clock is too far ahead of the cluster's.
    pub fn persist(&self) -> Result<bool, AccessError> {
        self.write(|_| None)
    }

    fn write(&self, deadline: impl FnOnce(u64) -> Option<u64>) -> Result<bool, AccessError> {
        self.access.write(self.key.len(), |writer| {
            let deadline = deadline(writer.moment().now());
            Ok(writer.expire(&self.key, deadline)?)
        })
    }

    /// When the key ends, in milliseconds since 1970; `None` if it does not, or is not there.
    pub fn ends_at(&self) -> Option<u64> {
        self.access.read(|moment| moment.view(&self.key)?.deadline())
    }

    /// In what time the key ends; `None` if it does not, or is not there.
    pub fn time_to_live(&self) -> Option<Duration> {
        self.access.read(|moment| Some(left(moment.now(), moment.view(&self.key)?.deadline()?)))
    }
}

/// The time from `now` to a deadline.
pub(super) fn left(now: u64, deadline: u64) -> Duration {
    Duration::from_millis(deadline.saturating_sub(now))
}

/// The deadline that is so much later than `now`.
pub(super) fn deadline_in(now: u64, time: Duration) -> u64 {
    now.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}
