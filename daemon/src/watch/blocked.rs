//! A client that is blocked until something is at one of several keys.

use std::fmt;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::registry::Watch;
use crate::command::{Command, CommandError, Context};
use crate::resp::{Protocol, Reply};
use cahoots_gossip::Dot;
use cahoots_gossip::store::Class;

/// Looks at a key that has changed, answers and says so if that is what was waited for. An error is the answer, too.
pub type Serve = Box<dyn FnMut(&mut Context<'_>, &[u8], &mut Reply<'_>) -> Result<bool, CommandError> + Send>;

/// What a client waits for.
pub struct Blocked {
    /// The client's number.
    pub client: u64,
    /// What it speaks.
    pub protocol: Protocol,
    /// What it has asked for.
    pub command: Option<&'static Command>,
    /// Any of these keys.
    pub keys: Vec<Box<[u8]>>,
    /// The type it takes elements of: when one finds nothing, nobody behind it who takes of the same type does. `None` of
    /// one that takes nothing away.
    pub takes: Option<Class>,
    /// See [`Serve`].
    pub serve: Serve,
}

impl fmt::Debug for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocked").field("client", &self.client).field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

/// What became of a client that was blocked.
#[derive(Debug)]
pub enum Served {
    /// It was answered: the reply, and the event that carries what was written for it.
    Answered(Vec<u8>, Option<Dot>),
    /// Its time was declared over.
    TimedOut,
    /// It was told to wait no longer.
    Unblocked,
}

/// The place of a client in the queues of its keys. Given up when it is dropped.
#[derive(Debug)]
pub struct Ticket {
    watch: Arc<Watch>,
    number: u64,
    served: oneshot::Receiver<Served>,
}

impl Ticket {
    pub(super) fn new(watch: Arc<Watch>, number: u64, served: oneshot::Receiver<Served>) -> Self {
        Self { watch, number, served }
    }

    /// Waits until the client was served, or its time is over: then `None`.
    pub async fn served(mut self, timeout: Option<std::time::Duration>) -> Option<Served> {
        match timeout {
            None => (&mut self.served).await.ok(),
            Some(timeout) => {
                if let Ok(served) = tokio::time::timeout(timeout, &mut self.served).await {
                    return served.ok();
                }
                // It may have been served in this moment: from here on it is not.
                self.watch.withdraw(self.number);
                self.served.try_recv().ok()
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.watch.withdraw(self.number);
    }
}
