//! What others may know of one client, and have done to it.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use super::inbox::{Inbox, PushBudget};
use crate::acl::DEFAULT;
use crate::command::Command;
use crate::resp::{KeptArgs, Protocol};
use crate::state::Tick;

/// One client, as those see it who have something for it, or ask about it.
#[derive(Debug)]
pub struct Client {
    /// Its number: never given twice while the daemon runs.
    pub id: u64,
    /// Where it came from: the socket's path, or its TCP address.
    pub address: Box<str>,
    /// Where it came in.
    pub local_address: Box<str>,
    /// When it came.
    pub since: Instant,
    /// What it is to be sent unasked.
    pub inbox: Inbox,
    /// Whether it speaks RESP3.
    speaks_resp3: AtomicBool,
    listens: AtomicBool,
    waits: AtomicBool,
    facts: Mutex<Facts>,
}

/// What changes about a client, as of its last commands.
#[derive(Clone, Debug)]
pub struct Facts {
    /// `CLIENT SETNAME`.
    pub name: Box<[u8]>,
    /// `CLIENT SETINFO LIB-NAME`.
    pub library_name: Box<[u8]>,
    /// `CLIENT SETINFO LIB-VER`.
    pub library_version: Box<[u8]>,
    /// The database that it has chosen.
    pub database: u8,
    /// What it asked last, and when.
    pub last_command: Option<&'static Command>,
    /// When that was.
    pub active: Tick,
    /// How many channels, patterns and channels of shards it listens to.
    pub listens_to: [usize; 3],
    /// How many commands it has queued, if it has begun a transaction.
    pub queued: Option<usize>,
    /// Who is told in its place, if it tracks; and whether it is told of all keys with some prefixes.
    pub tracks: Option<(u64, bool)>,
    /// Whether it is shown all commands.
    pub monitors: bool,
    /// `CLIENT NO-EVICT`.
    pub no_evict: bool,
    /// `CLIENT NO-TOUCH`.
    pub no_touch: bool,
    /// The user that it is.
    pub user: Box<[u8]>,
    /// What it was last blocked with.
    pub waits_with: Option<(&'static Command, KeptArgs)>,
}

impl Client {
    /// One that has just come.
    #[must_use]
    pub fn new(id: u64, address: &str, local_address: &str, budget: Arc<PushBudget>) -> Self {
        let since = Instant::now();
        Self {
            id,
            address: address.into(),
            local_address: local_address.into(),
            since,
            inbox: Inbox::new(budget),
            speaks_resp3: AtomicBool::new(false),
            listens: AtomicBool::new(false),
            waits: AtomicBool::new(false),
            facts: Mutex::new(Facts {
                name: Box::default(),
                library_name: Box::default(),
                library_version: Box::default(),
                database: 0,
                last_command: None,
                active: Tick::now(),
                listens_to: [0; 3],
                queued: None,
                tracks: None,
                monitors: false,
                no_evict: false,
                no_touch: false,
                user: DEFAULT.into(),
                waits_with: None,
            }),
        }
    }

    /// The version of the protocol in which it is to be told.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        if self.speaks_resp3.load(Relaxed) { Protocol::Resp3 } else { Protocol::Resp2 }
    }

    /// Whether it listens to any channel.
    #[must_use]
    pub fn listens(&self) -> bool {
        self.listens.load(Relaxed)
    }

    pub(crate) fn set_listens(&self, listens: bool) {
        self.listens.store(listens, Relaxed);
    }

    pub(crate) fn set_waits(&self, waits: bool) {
        self.waits.store(waits, Relaxed);
    }

    pub(crate) fn set_protocol(&self, protocol: Protocol) {
        self.speaks_resp3.store(protocol == Protocol::Resp3, Relaxed);
    }

    /// Whether it is on this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        // A socket's path is no address.
        self.address.parse::<SocketAddr>().map_or(true, |address| address.ip().is_loopback())
    }

    /// What changes about it.
    pub fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Redis's letters for what it is and does.
    fn flags(&self, facts: &Facts) -> String {
        let is_local = !self.address.contains(':') || self.address.ends_with(":0");
        let tracks = facts.tracks;
        let letters = [
            ('O', facts.monitors),
            ('P', self.listens()),
            ('x', facts.queued.is_some()),
            ('b', self.waits.load(Relaxed)),
            ('t', tracks.is_some()),
            ('B', tracks.is_some_and(|(_, broadcasts)| broadcasts)),
            ('U', is_local),
            ('e', facts.no_evict),
            ('T', facts.no_touch),
        ];
        let flags: String = letters.iter().filter(|(_, is)| *is).map(|(letter, _)| letter).collect();
        if flags.is_empty() { "N".to_owned() } else { flags }
    }
}

/// A line of `CLIENT LIST`: the fields of Redis's that mean something here.
impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts = self.facts();
        let text = String::from_utf8_lossy;
        let [channels, patterns, shards] = facts.listens_to;
        write!(
            f,
            "id={} addr={} laddr={} name={} age={} idle={} flags={} db={} sub={channels} psub={patterns} ssub={shards} multi={}",
            self.id,
            self.address,
            self.local_address,
            text(&facts.name),
            self.since.elapsed().as_secs(),
            Tick::now().micros_since(facts.active) / 1_000_000,
            self.flags(&facts),
            facts.database,
            facts.queued.map_or(-1, |queued| i64::try_from(queued).unwrap_or(i64::MAX)),
        )?;
        write!(
            f,
            " omem={} cmd={} user={} redir={} resp={} lib-name={} lib-ver={}",
            self.inbox.bytes(),
            facts.last_command.map_or("NULL", |command| command.name),
            text(&facts.user),
            facts.tracks.map_or(-1, |(redirect, _)| redirect.cast_signed()),
            self.protocol().version(),
            text(&facts.library_name),
            text(&facts.library_version),
        )?;
        f.write_char('\n')
    }
}

/// The clients that are connected, by their numbers.
#[derive(Debug, Default)]
pub struct Clients(Mutex<BTreeMap<u64, Weak<Client>>>);

impl Clients {
    fn map(&self) -> MutexGuard<'_, BTreeMap<u64, Weak<Client>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one of this number.
    #[must_use]
    pub fn get(&self, id: u64) -> Option<Arc<Client>> {
        self.map().get(&id)?.upgrade()
    }

    /// All of them, in the order in which they came.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Client>> {
        self.map().values().filter_map(Weak::upgrade).collect()
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
