//! A client that is blocked until something is at one of several keys.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::registry::Watch;
use crate::command::{Command, CommandError, Context};
use crate::resp::{Protocol, Reply};
use cahoots_gossip::Dot;
use cahoots_gossip::store::Class;

/// Looks at a key that has changed, answers and says so if that is what was waited for. An error is the answer, too.
pub type Serve = Box<dyn FnMut(&mut Context<'_>, &[u8], &mut Reply<'_>) -> Result<bool, CommandError> + Send>;

/// What a client takes away.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Takes {
    /// Elements of this type.
    Elements(Class),
    /// Entries of streams, which this group is handed.
    Entries(Box<[u8]>),
}

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
    /// What it takes away: when one finds nothing, nobody behind it who takes of the same does. `None` of one that takes
    /// nothing away.
    pub takes: Option<Takes>,
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

/// Has those looked after who may have something.
pub type Look = Box<dyn FnMut() + Send>;

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

    /// Waits until the client was served, or its time is over: then `None`. Meanwhile `look` is called every so often, for
    /// what is there to be had without anything having changed.
    pub async fn served(mut self, timeout: Option<Duration>, look: Option<(Duration, Look)>) -> Option<Served> {
        let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let (every, mut look) = look.unzip();
        loop {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            let Some(step) = [left, every].into_iter().flatten().min() else { return (&mut self.served).await.ok() };
            if let Ok(served) = tokio::time::timeout(step, &mut self.served).await {
                return served.ok();
            }
            if left == Some(step) {
                // It may have been served in this moment: from here on it is not.
                self.watch.withdraw(self.number);
                return self.served.try_recv().ok();
            }
            look.iter_mut().for_each(|look| look());
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.watch.withdraw(self.number);
    }
}
