//! What the daemon remembers of one client between its commands.
//!
//! A [`Session`] is the client's own: its commands work on it. What others have for a client, they give to its [`Client`].

mod client;
mod inbox;
mod mode;
mod monitors;
mod tracking;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use client::{Client, Clients, Facts};
pub use inbox::{Dismissal, Inbox, PushBudget};
pub use mode::Mode;
pub use monitors::Monitors;
pub use tracking::{CachesWhat, TrackingMode};

use cahoots_gossip::Dot;
use cahoots_gossip::driver::PresenceGuard;

use crate::acl::Login;
use crate::command::{Command, Transaction, Watched};
use crate::pubsub::Subscriptions;
use crate::resp::Protocol;
use crate::state::Server;

/// One client's state. The bytes in flight are the connection's business, not this.
#[derive(Debug)]
pub struct Session {
    /// Its number: never given twice while the daemon runs.
    pub id: u64,
    /// What others know of it.
    pub client: Arc<Client>,
    /// Who it is.
    pub login: Login,
    /// What it speaks.
    pub protocol: Protocol,
    /// The database that it has chosen.
    pub database: u8,
    /// `CLIENT REPLY`.
    pub replies: Replies,
    /// The event that carries its last write, with the id that minted it: what `WAIT` waits for.
    pub written: Option<Dot>,
    /// Where it is present, until it goes.
    pub present: BTreeMap<Box<[u8]>, PresenceGuard>,
    /// Whether any of the commands read last wrote: the connection takes it back.
    pub wrote: bool,
    /// What it asked last.
    pub last_command: Option<&'static Command>,
    /// What it has queued since MULTI.
    pub transaction: Option<Transaction>,
    /// What it listens to, if it listens.
    pub subscriptions: Option<Subscriptions>,
    /// How it tracks, if it does.
    pub tracking: Option<TrackingMode>,
    /// What it watches.
    pub watched: Option<Watched>,
    /// Whether the commands of a transaction, or of a script, are being carried out: nothing waits then.
    pub executes: bool,
    /// Whether they are those of a script.
    pub in_script: bool,
}

impl Session {
    /// A client that has just come; what is sent to it unasked counts towards nothing.
    #[must_use]
    pub fn new(id: u64, address: &str, local_address: &str) -> Self {
        Self::of(Arc::new(Client::new(id, address, local_address, Arc::default())))
    }

    /// A client that has just come.
    #[must_use]
    pub fn of(client: Arc<Client>) -> Self {
        Self {
            id: client.id,
            client,
            login: Login::default(),
            protocol: Protocol::default(),
            database: 0,
            replies: Replies::default(),
            written: None,
            present: BTreeMap::new(),
            wrote: false,
            last_command: None,
            transaction: None,
            subscriptions: None,
            tracking: None,
            watched: None,
            executes: false,
            in_script: false,
        }
    }
}

impl Session {
    /// From now on it speaks this version of the protocol.
    pub(crate) fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
        self.client.set_protocol(protocol);
    }

    /// It tracks no more.
    pub(crate) fn stop_tracking(&mut self, server: &Server) {
        if let Some(mode) = self.tracking.take() {
            server.tracking.end(self.id, mode.prefixes.iter().map(|it| &**it));
        }
    }

    /// It watches nothing any more, listens to nothing, tracks nothing and is shown nothing.
    pub(crate) fn let_go(&mut self, server: &Server) {
        if let Some(watched) = self.watched.take() {
            watched.forget(&server.watch);
        }
        if let Some(its) = self.subscriptions.take() {
            server.pubsub.forget(&self.client, &its);
        }
        self.stop_tracking(server);
        server.monitors.end(self.id);
    }
}

/// Whether a client hears anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replies {
    /// Every command is answered.
    #[default]
    On,
    /// None is.
    Off,
    /// The command being executed asked for the next one not to be answered.
    SkipNext,
    /// The command being executed is not answered.
    Skip,
}

impl Replies {
    /// Whether the command being executed is answered.
    #[must_use]
    pub fn are_heard(self) -> bool {
        // Who asks for the next one to be skipped answers nothing itself; the transaction that it is in does.
        matches!(self, Self::On | Self::SkipNext)
    }

    /// The command being executed is over.
    pub fn next(&mut self) {
        *self = match *self {
            Self::SkipNext => Self::Skip,
            Self::Skip => Self::On,
            same => same,
        };
    }
}
