//! Waiting: what a command does outside of the replica's lock, and what it answers afterwards.
//!
//! A handler that has to wait returns what to wait for and what it goes on with, as one value ([`Wait`]). The connection
//! awaits the one and calls the other under the lock again; it knows no command. What goes on may wait again, so a
//! command that waits for a key (BLPOP) is one function that looks, answers if it can, and else waits and calls itself.
//!
//! Rejected: calling the handler anew with its arguments. They would have to be kept as long as the wait, and what
//! the handler knew already would have to be found again.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use super::context::Context;
use super::contract::Outcome;
use crate::resp::Reply;
use crate::state::Server;
use cahoots_gossip::driver::Node;

/// The rest of a command that has waited.
pub type Resume = Box<dyn FnOnce(&mut Context<'_>, &mut Reply<'_>) -> Outcome + Send>;

type Waiting = Pin<Box<dyn Future<Output = Resume> + Send>>;

/// What a command waits for, and what it does then.
pub struct Wait {
    begin: Box<dyn FnOnce(Node, Arc<Server>) -> Waiting + Send>,
    for_others: bool,
}

impl Wait {
    /// Waits for what `wait` makes, and goes on with `then`.
    ///
    /// Everything answered so far is sent before. A client that goes away meanwhile is not noticed, so what was begun is
    /// finished.
    pub(super) fn new<T, F>(
        wait: impl FnOnce(Node, Arc<Server>) -> F + Send + 'static,
        then: impl FnOnce(&mut Context<'_>, T, &mut Reply<'_>) -> Outcome + Send + 'static,
    ) -> Self
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let begin = move |node, server| -> Waiting {
            let wait = wait(node, server);
            Box::pin(async move {
                let result = wait.await;
                Box::new(move |context: &mut Context<'_>, reply: &mut Reply<'_>| then(context, result, reply)) as Resume
            })
        };
        Self { begin: Box::new(begin), for_others: false }
    }

    /// The same for what others are to do, which may take for ever: the client counts as blocked, and the wait is given
    /// up when it goes away.
    pub(super) fn for_others(mut self) -> Self {
        self.for_others = true;
        self
    }

    /// Whether the client counts as blocked, and its going away ends the wait.
    #[must_use]
    pub fn is_for_others(&self) -> bool {
        self.for_others
    }

    /// Begins.
    pub fn begin(self, node: Node, server: Arc<Server>) -> impl Future<Output = Resume> + Send {
        (self.begin)(node, server)
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").field("for_others", &self.for_others).finish_non_exhaustive()
    }
}
