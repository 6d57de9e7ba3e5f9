//! What others may know of one client, and have done to it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::inbox::{Inbox, PushBudget};
use crate::resp::Protocol;

/// One client, as those see it who have something for it.
#[derive(Debug)]
pub struct Client {
    /// Its number: never given twice while the daemon runs.
    pub id: u64,
    /// What it is to be sent unasked.
    pub inbox: Inbox,
    /// Whether it speaks RESP3.
    speaks_resp3: AtomicBool,
}

impl Client {
    /// One that has just come.
    #[must_use]
    pub fn new(id: u64, budget: Arc<PushBudget>) -> Self {
        Self { id, inbox: Inbox::new(budget), speaks_resp3: AtomicBool::new(false) }
    }

    /// The version of the protocol in which it is to be told.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        if self.speaks_resp3.load(Relaxed) { Protocol::Resp3 } else { Protocol::Resp2 }
    }

    pub(crate) fn set_protocol(&self, protocol: Protocol) {
        self.speaks_resp3.store(protocol == Protocol::Resp3, Relaxed);
    }
}

/// The clients that are connected, by their numbers.
#[derive(Debug, Default)]
pub struct Clients(Mutex<BTreeMap<u64, Weak<Client>>>);

impl Clients {
    fn map(&self) -> MutexGuard<'_, BTreeMap<u64, Weak<Client>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One has come.
    pub fn enter(&self, client: &Arc<Client>) {
        self.map().insert(client.id, Arc::downgrade(client));
    }

    /// One has gone.
    pub fn leave(&self, client: &Client) {
        self.map().remove(&client.id);
    }
}
