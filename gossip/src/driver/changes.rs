//! Who wants to know which keys change.

use tokio::sync::broadcast;

use crate::store::Change;

/// Changes a subscriber may leave unread before it loses the oldest.
///
/// At 16 Ki changes of a few dozen bytes each this is about a megabyte, a burst of a few milliseconds at full speed.
pub const CHANGES_MAX: usize = 16 * 1024;

/// A subscription to changed keys, local and remote, in the order in which they were applied here.
///
/// A key that holds votes or presence is also reported when membership changes what it amounts to.
///
/// The stream is bounded: a subscriber that falls behind by more than [`CHANGES_MAX`] reads [`Change::Lost`] in place
/// of what it missed, and must look at the keys it cares about again.
#[derive(Debug)]
pub struct Changes {
    receiver: broadcast::Receiver<Change>,
    wanted: Wanted,
}

/// Which keys a subscriber cares about.
#[derive(Debug)]
enum Wanted {
    All,
    Key(Box<[u8]>),
    Prefix(Box<[u8]>),
}

impl Wanted {
    fn is(&self, change: &Change) -> bool {
        match (self, change) {
            (Self::All, _) | (_, Change::Lost) => true,
            (Self::Key(wanted), Change::Key { key, .. }) => key == wanted,
            (Self::Prefix(wanted), Change::Key { key, .. }) => key.starts_with(wanted),
        }
    }
}

impl Changes {
    pub(super) fn new(receiver: broadcast::Receiver<Change>) -> Self {
        Self { receiver, wanted: Wanted::All }
    }

    /// Of this key only.
    #[must_use]
    pub fn of(self, key: impl AsRef<[u8]>) -> Self {
        Self { wanted: Wanted::Key(key.as_ref().into()), ..self }
    }

    /// Of keys that begin with this only.
    #[must_use]
    pub fn under(self, prefix: impl AsRef<[u8]>) -> Self {
        Self { wanted: Wanted::Prefix(prefix.as_ref().into()), ..self }
    }

    /// The next change; `None` when the node has stopped. Cancel safe.
    pub async fn next(&mut self) -> Option<Change> {
        loop {
            let change = match self.receiver.recv().await {
                Ok(change) => change,
                Err(broadcast::error::RecvError::Lagged(_)) => Change::Lost,
                Err(broadcast::error::RecvError::Closed) => return None,
            };
            if self.wanted.is(&change) {
                return Some(change);
            }
        }
    }

    /// The next change if there is one already.
    pub fn try_next(&mut self) -> Option<Change> {
        loop {
            let change = match self.receiver.try_recv() {
                Ok(change) => change,
                Err(broadcast::error::TryRecvError::Lagged(_)) => Change::Lost,
                Err(broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed) => return None,
            };
            if self.wanted.is(&change) {
                return Some(change);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{By, Class, What};

    fn changed(key: &[u8]) -> Change {
        Change::Key { key: key.into(), class: Class::Text, what: What::Changed, by: By::Peer }
    }

    #[tokio::test]
    async fn a_subscriber_that_falls_behind_is_told_before_it_reads_on() {
        let (sender, receiver) = broadcast::channel(2);
        let mut changes = Changes::new(receiver);
        for key in [b"a", b"b", b"c"] {
            sender.send(changed(key)).unwrap();
        }
        assert!(matches!(changes.next().await, Some(Change::Lost)));
        assert_eq!(changes.next().await, Some(changed(b"b")));
        assert_eq!(changes.try_next(), Some(changed(b"c")));
        assert!(changes.try_next().is_none());
        drop(sender);
        assert!(changes.next().await.is_none());
    }

    #[test]
    fn a_subscriber_to_a_key_or_a_prefix_hears_of_nothing_else_but_of_losses() {
        let (sender, receiver) = broadcast::channel(8);
        let mut one = Changes::new(receiver).of("user:1");
        let mut some = Changes::new(sender.subscribe()).under("user:");
        for key in [&b"user:10"[..], b"user", b"user:1"] {
            sender.send(changed(key)).unwrap();
        }
        sender.send(Change::Lost).unwrap();
        let key = |key: &str| Some(changed(key.as_bytes()));
        assert_eq!([one.try_next(), one.try_next(), one.try_next()], [key("user:1"), Some(Change::Lost), None]);
        assert_eq!(
            [some.try_next(), some.try_next(), some.try_next()],
            [key("user:10"), key("user:1"), Some(Change::Lost)]
        );
    }
}
