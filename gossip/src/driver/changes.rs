//! Who wants to know which keys change.

use tokio::sync::broadcast;

use crate::store::Change;

/// Changes a subscriber may leave unread before it loses the oldest.
///
/// At 16 Ki changes of a few dozen bytes each this is about a megabyte, a burst of a few milliseconds at full speed.
pub const CHANGES_MAX: usize = 16 * 1024;

/// A subscription to changed keys, local and remote, in the order in which they were applied here.
///
/// The stream is bounded: a subscriber that falls behind by more than [`CHANGES_MAX`] reads [`Change::Lost`] in place
/// of what it missed, and must look at the keys it cares about again.
#[derive(Debug)]
pub struct Changes {
    pub(super) receiver: broadcast::Receiver<Change>,
}

impl Changes {
    /// The next change; `None` when the node has stopped. Cancel safe.
    pub async fn next(&mut self) -> Option<Change> {
        match self.receiver.recv().await {
            Ok(change) => Some(change),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(Change::Lost),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// The next change if there is one already.
    pub fn try_next(&mut self) -> Option<Change> {
        match self.receiver.try_recv() {
            Ok(change) => Some(change),
            Err(broadcast::error::TryRecvError::Lagged(_)) => Some(Change::Lost),
            Err(broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_subscriber_that_falls_behind_is_told_before_it_reads_on() {
        let (sender, receiver) = broadcast::channel(2);
        let mut changes = Changes { receiver };
        for key in [b"a", b"b", b"c"] {
            sender.send(Change::Key(Box::from(&key[..]))).unwrap();
        }
        assert!(matches!(changes.next().await, Some(Change::Lost)));
        assert!(matches!(changes.next().await, Some(Change::Key(key)) if *key == *b"b"));
        assert!(matches!(changes.try_next(), Some(Change::Key(key)) if *key == *b"c"));
        assert!(changes.try_next().is_none());
        drop(sender);
        assert!(changes.next().await.is_none());
    }
}
