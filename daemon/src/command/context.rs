//! What a command works on. Nothing else gives a command access to the store.
//!
//! - Reads go through [`Context::read`], which counts them. It is the one place where a transaction's `WATCH` or a
//!   client's cache will learn which keys were read.
//! - Writes go through [`Context::write`]. Today each is a group of its own, so one event. When a group is open (for
//!   MULTI, or for a script) the write joins that instead, and no command has to know.
//! - Commands go through [`Context::call`], whoever they come from. A transaction calls it for each command in its
//!   queue, with the reply of its own command; a script with a reply into a buffer, which it reads. Both then see what
//!   a client would see: admission, refusals and counts included.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::SystemTime;

use super::contract::{Command, Flow, Outcome};
use super::error::CommandError;
use super::events::{self, Said};
use super::flags::{ADMIN, DENYOOM, FAST, LOADING, NO_MANDATORY_KEYS, READONLY, SKIP_MONITOR, SKIP_SLOWLOG, WRITE};
use super::{blocking, database, pause, script, table, transaction};
use crate::account::Account;
use crate::pubsub::Topic;
use crate::resp::{Args, Reply};
use crate::session::Session;
use crate::state::{Counts, Server, Tick};
use crate::watch::{EventClass, Own};
use cahoots_gossip::driver::random_id;
use cahoots_gossip::engine::{MemoryBound, Now, Replica, Room, Tally};
use cahoots_gossip::store::database::{parts, stored};
use cahoots_gossip::store::{By, Change, Class, KeyMemory, Moment, View, WriteError, Writer};
use cahoots_gossip::{Dot, Limits, ReplicaId};

/// Keys of one step of a walk over all.
pub(super) const WALK_KEYS: usize = 1024;
/// Reads of keys that are counted as uses in one batch; more are not.
const READS_MAX: usize = 1 << 13;
/// Keys drawn at random before those of other databases are passed over instead.
const DRAWS_MAX: usize = 100;

/// What a command works on: the replica, locked; the client; and what all clients share.
pub struct Context<'a> {
    replica: &'a mut Replica,
    now: Now,
    /// What is remembered of the client.
    pub session: &'a mut Session,
    /// What all connections share.
    pub server: &'a Server,
    counting: Counting,
    /// What the command that runs says of the events of its keys.
    said: Said,
    /// Keys that a transaction has changed, for those who are blocked at them.
    changed: Vec<Box<[u8]>>,
    /// What the client is told of keys that it has changed itself, behind its reply.
    own: Vec<u8>,
    /// Hashes of keys that were read, while uses are counted; read through views of the store, hence the cell.
    reads: RefCell<Vec<u64>>,
    counts_reads: bool,
    /// Whether there was no room in memory for what the command that runs may write.
    full: bool,
    /// When the command that runs began.
    began: Tick,
}

/// What is counted while commands run. Reads are counted while views of the store are held, hence the cells.
#[derive(Default)]
struct Counting {
    commands: Cell<u64>,
    errors: Cell<u64>,
    hits: Cell<u64>,
    misses: Cell<u64>,
}

impl<'a> Context<'a> {
    /// For commands of `session`. `now` serves all of them: the clocks are read once.
    pub fn new(replica: &'a mut Replica, now: Now, session: &'a mut Session, server: &'a Server) -> Self {
        let counts_reads = replica.counts_reads();
        Self {
            replica,
            now,
            reads: RefCell::default(),
            counts_reads,
            full: false,
            session,
            server,
            counting: Counting::default(),
            said: Said::default(),
            changed: Vec::new(),
            own: Vec::new(),
            began: Tick::now(),
        }
    }

    /// Runs one command, its reply or refusal included.
    pub fn call(&mut self, args: Args<'_>, reply: &mut Reply<'_>) -> Flow {
        // What a script calls is timed apart, and is a part of the script's time.
        let (began, nested) = match self.session.in_script {
            false => (self.began, false),
            true => (Tick::now(), true),
        };
        let mut number = usize::MAX;
        let found = table::find_numbered(args).and_then(|(command, its_number)| {
            number = its_number;
            self.session.last_command = Some(command);
            if self.server.acl.guards() {
                self.check_access(command, args)?;
            }
            if self.session.subscriptions.is_some() && !self.session.executes {
                self.session.mode().admit(command)?;
            }
            self.admit(command)?;
            if self.is_memory_bounded() && !self.session.executes {
                self.find_room(command, args)?;
            }
            Ok((command, command.handler.ok_or_else(|| CommandError::Arity(command.name.into()))?))
        });
        if self.server.pause.is_on()
            && let Ok((command, _)) = found
            && let Some(held) = self.held(command, args)
        {
            return held;
        }
        count(&self.counting.commands);
        let command = found.as_ref().ok().map(|(command, _)| *command);
        let queues = self.session.transaction.is_some();
        let ran = command.filter(|command| !(queues && transaction::is_queued(command)));
        let outcome = match found {
            Ok(found) if self.session.transaction.is_some() => transaction::take(self, found, args, reply),
            Ok((command, handler)) => match database::in_store(self.session.database, command, args) {
                None => handler(self, args, reply),
                Some(named) => handler(self, named.args(), reply),
            },
            Err(error) => Err(transaction::refused(self, args, error)),
        };
        if self.server.watch.is_active() {
            self.see_changes(ran, reply);
        }
        let now = Tick::now();
        let took = now.micros_since(began);
        if !nested {
            self.began = now;
        }
        match ran {
            Some(command) => {
                self.server.command_stats.ran(number, took, outcome.is_err());
                let is_slow = !nested && (self.server.slowlog.keeps(took) || self.server.latency.keeps(took));
                if self.server.monitors.is_on() || is_slow {
                    self.show(command, is_slow.then_some(took), args);
                }
            }
            None if outcome.is_err() => self.note_rejected(number, args),
            None => {}
        }
        if self.session.tracking.is_some() {
            self.note_keys(ran.filter(|_| outcome.is_ok()), args);
        }
        match outcome {
            Ok(Flow::Wait(wait)) => {
                self.note_wait(command, args);
                Flow::Wait(wait)
            }
            Ok(flow) => flow,
            Err(error) => {
                self.refuse(&error, reply);
                if table::is_foreign_protocol(&args[0]) { Flow::Cut } else { Flow::Continue }
            }
        }
    }

    /// Evicts what there is too much, for a command that may take memory. Where nothing can be evicted the command is refused,
    /// and with it whatever is queued since MULTI; but scripts that do not say what they need begin, and are refused their first
    /// write.
    fn find_room(&mut self, command: &Command, args: Args<'_>) -> Result<(), CommandError> {
        self.full = false;
        let transaction = self.session.transaction.as_ref();
        let queues = transaction.is_some() && !matches!(command.name, "exec" | "discard" | "quit" | "reset");
        let grows = command.flags.has(DENYOOM)
            || command.name == "exec" && transaction.is_some_and(transaction::Transaction::grows);
        if !(queues || grows || command.name == "exec" || command.flags.has(NO_MANDATORY_KEYS)) {
            return Ok(());
        }
        self.settle_reads();
        self.full = self.replica.make_room(self.now) == Room::None;
        if self.full && (queues || grows || script::flags(self, command, args).grows()) {
            return Err(CommandError::Full);
        }
        Ok(())
    }

    /// Whether memory is bounded, here or at a peer that is full.
    pub(super) fn is_memory_bounded(&self) -> bool {
        self.replica.is_memory_bounded()
    }

    /// Whether there was no room in memory when the command that runs began, or the transaction.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// Bounds the memory that the data takes.
    pub(super) fn bound_memory(&mut self, bound: MemoryBound) {
        *self.server.memory.lock().unwrap_or_else(PoisonError::into_inner) = bound;
        self.replica.bound_memory(self.now, bound);
        self.counts_reads = self.replica.counts_reads();
    }

    /// Has the replica know which keys were read.
    pub(super) fn settle_reads(&mut self) {
        let reads = self.reads.get_mut();
        if !reads.is_empty() {
            self.replica.note_reads(self.now, reads);
            reads.clear();
        }
    }

    /// How often a key was used lately, if that is counted.
    pub(super) fn frequency_of(&mut self, key: &[u8]) -> Option<u8> {
        self.settle_reads();
        self.replica.store().frequency(key, self.now.wall)
    }

    /// How many milliseconds ago a key was used last, if that is counted.
    pub(super) fn idle_ms(&mut self, key: &[u8]) -> Option<u64> {
        self.settle_reads();
        self.replica.store().idle_ms(key, self.now.wall)
    }

    /// Has a key count as used so many seconds ago, or so often.
    pub(super) fn set_use(&mut self, key: &[u8], idle_seconds: Option<u64>, frequency: Option<u8>) {
        if idle_seconds.is_some() || frequency.is_some() {
            let wall = self.now.wall.saturating_sub(idle_seconds.unwrap_or(0).saturating_mul(1_000));
            self.replica.set_use(key, wall, frequency.unwrap_or(0));
        }
    }

    /// Tells those who care of what a command has changed. Who is blocked is served once a transaction is over.
    #[cold]
    fn see_changes(&mut self, command: Option<&'static Command>, reply: &mut Reply<'_>) {
        let said = std::mem::take(&mut self.said);
        let changes = blocking::take(self.replica);
        events::tell(self.server, command.map(|command| (command, &said)), &changes);
        self.changed.extend(blocking::note(self.server, &changes));
        if self.server.tracking.is_on() {
            let mut own = Some(Own { client: self.session.id, out: &mut self.own });
            match command {
                Some(Command { name: "flushall" | "flushdb", .. }) => self.server.tracking.tell_all(&mut own),
                _ => {
                    // Evictions come before what the command does, and are not the client's doing.
                    let evicted =
                        changes.iter().take_while(|it| matches!(it, Change::Key { by: By::Bound, .. })).count();
                    self.server.tracking.tell(&changes[..evicted], &mut None);
                    self.server.tracking.tell(&changes[evicted..], &mut own);
                }
            }
        }
        if !self.session.executes {
            reply.written(&std::mem::take(&mut self.own));
            let changed = std::mem::take(&mut self.changed);
            blocking::serve_at(self.replica, self.now, self.server, changed);
        }
    }

    /// Shows a command that has run to those who watch, and keeps it if it took long, in microseconds.
    #[cold]
    fn show(&self, command: &'static Command, took: Option<u64>, args: Args<'_>) {
        let (server, client) = (self.server, &self.session.client);
        let args = command.shown(args);
        if !command.flags.has(ADMIN) && !command.flags.has(SKIP_MONITOR) {
            self.show_ahead(args.iter().copied());
        }
        if let Some(took) = took.filter(|took| server.latency.keeps(*took)) {
            server.latency.note(if command.flags.has(FAST) { "fast-command" } else { "command" }, took);
        }
        if let Some(took) = took.filter(|took| server.slowlog.keeps(*took))
            && !command.flags.has(SKIP_SLOWLOG)
        {
            server.slowlog.note(took, args.into_iter(), &client.address, &client.facts().name);
        }
    }

    /// Counts a command that was refused before it ran.
    #[cold]
    fn note_rejected(&self, number: usize, args: Args<'_>) {
        let meant = if number == usize::MAX { table::number_meant(args) } else { Some(number) };
        meant.into_iter().for_each(|number| self.server.command_stats.rejected(number));
    }

    /// Shows a command to those who watch.
    pub(super) fn show_ahead<'b>(&self, args: impl Iterator<Item = &'b [u8]>) {
        if self.server.monitors.is_on() {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_micros());
            let from = if self.session.in_script { "lua" } else { &self.session.client.address };
            self.server.monitors.show(now, self.session.database, from, args);
        }
    }

    /// Has others see with what the client waits: what it may do can change meanwhile.
    #[cold]
    fn note_wait(&self, command: Option<&'static Command>, args: Args<'_>) {
        if !self.session.executes {
            self.session.client.facts().waits_with = command.map(|command| (command, args.kept()));
        }
    }

    /// Has others see what the client does.
    pub(super) fn note_client(&self) {
        let Session { client, last_command, subscriptions, transaction, tracking, database, .. } = &*self.session;
        let mut facts = client.facts();
        facts.database = *database;
        facts.last_command = *last_command;
        facts.active = self.began;
        facts.listens_to = Topic::ALL.map(|topic| subscriptions.as_ref().map_or(0, |its| its.len(topic)));
        facts.queued = transaction.as_ref().map(transaction::Transaction::len);
        facts.tracks = tracking.as_ref().map(|mode| (mode.redirect, mode.broadcasts()));
    }

    /// The event that carries the last write here.
    pub(super) fn position(&self) -> u64 {
        self.replica.position()
    }

    /// Notes the keys that a client has read, if it caches them.
    #[cold]
    fn note_keys(&mut self, command: Option<&'static Command>, args: Args<'_>) {
        let Some(mode) = &mut self.session.tracking else { return };
        if let Some(command) = command.filter(|command| command.flags.has(READONLY) && mode.caches_now()) {
            command.each_key(args, |at| {
                args.get(at).into_iter().for_each(|key| self.server.tracking.note(self.session.id, key));
            });
        }
        let is_of_client = command.is_some_and(|command| command.name.starts_with("client|"));
        if !is_of_client && self.session.transaction.is_none() && !self.session.executes {
            mode.told = false;
        }
    }

    /// What the command has said of the events of its keys.
    pub(super) fn said(&mut self) -> Said {
        std::mem::take(&mut self.said)
    }

    /// Says that something happened to a key, in this order, in place of what follows from the command's name.
    pub(super) fn happened(&mut self, key: &[u8], name: &'static str) {
        if self.server.keyspace.is_on() {
            self.said.event(key, name);
        }
    }

    /// Says what happened to the keys besides what the command is called.
    pub(super) fn also_happened(&mut self, name: &'static str) {
        self.said.also(name);
    }

    /// Says what happened to the keys, which is not what the command is called.
    pub(super) fn happened_as(&mut self, name: &'static str) {
        self.said.name(name);
    }

    /// Says that clients are told of nothing: what was written is what was there.
    pub(super) fn nothing_happened(&mut self) {
        self.said.nothing();
    }

    /// Puts what the command has sent to its own client in front of its reply, which began at `start`.
    #[inline]
    pub(super) fn hear_oneself(&mut self, reply: &mut Reply<'_>, start: usize) {
        if self.session.client.inbox.has_some() {
            self.put_in_front(reply, start);
        }
    }

    #[cold]
    fn put_in_front(&mut self, reply: &mut Reply<'_>, start: usize) {
        let mut own = Vec::new();
        self.session.client.inbox.take(&mut own);
        reply.in_front(start, |reply| reply.written(&own));
    }

    /// What an outcome comes to: a refusal is answered, and the next command follows.
    pub(super) fn answered(&mut self, outcome: Outcome, reply: &mut Reply<'_>) -> Flow {
        outcome.unwrap_or_else(|error| {
            self.refuse(&error, reply);
            Flow::Continue
        })
    }

    // Out of line: refusals are rare, and their formatting would only fill the hot path.
    #[cold]
    fn refuse(&mut self, error: &CommandError, reply: &mut Reply<'_>) {
        count(&self.counting.errors);
        let text = error.to_string();
        self.server.command_stats.refused(&text);
        reply.error(text);
    }

    /// Refuses what needs data that is not there yet, and writes whose promise could not be kept.
    fn admit(&self, command: &Command) -> Result<(), CommandError> {
        let durability = &self.server.durability;
        // PING, which Redis refuses while it loads, is answered: it asks whether the daemon lives.
        if (durability.is_loading() || !self.replica.is_ready())
            && !(command.flags.has(LOADING) || command.name == "ping")
            && let Some(reason) = self.server.not_ready(&self.replica.readiness())
        {
            return Err(CommandError::Loading(reason));
        }
        if let Some(storage) = durability.storage_waited_for()
            && storage.is_failing()
            && command.flags.has(WRITE)
        {
            let error = storage.status().failing.unwrap_or_default();
            return Err(CommandError::Other(
                format!("MISCONF Errors writing to the data directory, and appendfsync is always: {error}").into(),
            ));
        }
        Ok(())
    }

    /// What is at `key`, for a command that reads: counted as found or not. A key of another type is refused.
    #[inline]
    pub(super) fn read<'s>(&'s self, key: &'s [u8], class: Class) -> Result<Option<View<'s>>, CommandError> {
        let view = self.current(key, class)?;
        self.looked_up(key, view.as_ref());
        Ok(view)
    }

    /// As [`read`](Self::read), for a command to which a key of another type is none.
    #[inline]
    pub(super) fn read_if<'s>(&'s self, key: &'s [u8], class: Class) -> Option<View<'s>> {
        let view = self.moment().view(key).filter(|view| view.class() == class);
        self.looked_up(key, view.as_ref());
        view
    }

    /// As [`read`](Self::read), whatever the type.
    pub(super) fn read_any<'s>(&'s self, key: &'s [u8]) -> Option<View<'s>> {
        let view = self.moment().view(key);
        self.looked_up(key, view.as_ref());
        view
    }

    /// As [`read_any`](Self::read_any), and the key does not count as used.
    pub(super) fn peek<'s>(&'s self, key: &'s [u8]) -> Option<View<'s>> {
        let view = self.moment().view(key);
        self.count_lookup(key, view.is_some());
        view
    }

    /// What is at `key`, for a command that writes there: not counted, as in Redis. A key of another type is refused.
    #[inline]
    pub(super) fn current<'s>(&'s self, key: &'s [u8], class: Class) -> Result<Option<View<'s>>, CommandError> {
        match self.moment().view(key) {
            Some(view) if view.class() != class => Err(CommandError::WrongType),
            view => Ok(view),
        }
    }

    /// As [`current`](Self::current), whatever the type.
    pub(super) fn current_any<'s>(&'s self, key: &'s [u8]) -> Option<View<'s>> {
        self.moment().view(key)
    }

    /// What the cluster has agreed to hold.
    pub(super) fn limits(&self) -> &Limits {
        self.replica.store().limits()
    }

    /// Walks over the keys of the client's database; see [`Moment::scan`].
    pub(super) fn scan(&self, cursor: u64, count: usize, mut each: impl FnMut(&[u8], View<'_>)) -> u64 {
        self.moment().scan(cursor, count, |stored, view| {
            if let (database, key) = parts(stored)
                && database == self.session.database
            {
                each(key, view);
            }
        })
    }

    /// A key of the client's database at random; `below` draws a number below another. Where others have most of the keys,
    /// it is the first one behind a place that is drawn.
    pub(super) fn draw_key(&mut self, mut below: impl FnMut(usize) -> usize) -> Option<Vec<u8>> {
        let database = self.session.database;
        if self.keys() == 0 {
            return None;
        }
        for _ in 0..DRAWS_MAX {
            match self.moment().draw(&mut below).map(parts) {
                Some((of, key)) if of == database => return Some(key.to_vec()),
                Some(_) => {}
                None => return None,
            }
        }
        let mut found = None;
        let mut cursor = (below(usize::MAX) as u64).max(1);
        let mut ends = 2;
        while found.is_none() && ends > 0 {
            cursor = self.scan(cursor, WALK_KEYS, |key, _| _ = found.get_or_insert_with(|| key.to_vec()));
            ends -= i32::from(cursor == 0);
        }
        found
    }

    /// How many keys there are in the client's database.
    pub(super) fn keys(&mut self) -> usize {
        let database = self.session.database;
        self.databases().get(&database).map_or(0, |(keys, _)| *keys)
    }

    /// How many keys there are in each database, and how many of them have a deadline.
    pub(super) fn databases(&mut self) -> BTreeMap<u8, (usize, usize)> {
        self.replica.count_keys(self.now);
        self.replica.store().databases()
    }

    /// The name in the store of a key of the client's database.
    pub(super) fn stored<'k>(&self, key: &'k [u8]) -> Cow<'k, [u8]> {
        stored(self.session.database, key)
    }

    /// The number of a database, if there is one.
    pub(super) fn database(&self, number: i64) -> Option<u8> {
        let number = u8::try_from(number).ok()?;
        (usize::from(number) < self.server.limits.databases).then_some(number)
    }

    /// Begins to count anew.
    pub(super) fn forget_counts(&mut self) {
        let expired = self.replica.status().counters.keys_expired;
        self.counting = Counting::default();
        self.server.stats.forget(expired);
        self.server.acl.log.forget_counts();
        self.server.command_stats.forget();
    }

    /// Ends a pause of clients.
    pub(super) fn end_pause(&mut self) {
        pause::end(self.replica, self.now, self.server);
    }

    /// Has keys that expire be removed, or not, as is said now.
    pub(super) fn see_to_expiry(&mut self) {
        self.server.sees_to_expiry(self.replica);
    }

    /// What a key takes of the memory.
    pub(super) fn memory_of(&self, key: &[u8]) -> Option<KeyMemory> {
        self.replica.store().memory_of(key)
    }

    /// What the live members have cast at `key`, which is of class [`Class::Vote`].
    pub(super) fn tally(&self, key: &[u8]) -> Tally {
        self.replica.tally(self.now, key)
    }

    /// How many are present at `key`, which is of class [`Class::Presence`].
    pub(super) fn present(&self, key: &[u8]) -> u64 {
        self.replica.present(self.now, key)
    }

    /// The id of this replica.
    pub(super) fn replica_id(&self) -> ReplicaId {
        self.replica.id()
    }

    /// Whether a replica is this one or a live peer.
    pub(super) fn is_live(&self, replica: ReplicaId) -> bool {
        self.replica.is_live(replica)
    }

    /// Writes: all of it or nothing. `bytes` is an upper estimate of the keys and values written.
    #[inline]
    pub(super) fn write<R>(&mut self, bytes: usize, write: impl FnOnce(&mut Writer<'_>) -> R) -> R {
        self.leave_probation();
        let result = self.replica.write(self.now, bytes, write);
        self.wrote();
        result
    }

    /// Opens a group: all that is written until [`end_group`](Self::end_group) is one event. `bytes` is an upper estimate of
    /// the keys and values written.
    pub(super) fn begin_group(&mut self, bytes: usize) {
        self.replica.begin_group(self.now, bytes);
    }

    /// Closes the group that is open.
    pub(super) fn end_group(&mut self) {
        self.replica.end_group(self.now);
    }

    /// Sends a message to those who listen, here and at all other daemons; says how many clients of this daemon do.
    pub(super) fn publish(&mut self, topic: Topic, channel: &[u8], message: &[u8]) -> Result<usize, CommandError> {
        let sent = self.replica.publish(self.now, topic.kind(), channel, message);
        sent.map_err(|error| CommandError::Other(format!("ERR {error}").into()))?;
        Ok(self.server.pubsub.publish(topic, channel, message))
    }

    /// Has changed keys be recorded from now on.
    pub(super) fn record_changes(&mut self) {
        if !self.replica.records_changes() {
            self.replica.record_changes(true);
        }
        self.said = Said::default();
        self.server.watch.activate(true);
    }

    /// How many live peers have own events up to `seq`; and how many have them on disk.
    pub(super) fn had_by(&self, seq: u64) -> (usize, usize) {
        (self.replica.acked_by(seq), self.replica.kept_by(seq))
    }

    /// To be called before anything is written elsewhere than here: while nobody has confirmed that the id is this
    /// replica's alone, no event is ever minted under it.
    pub(super) fn leave_probation(&mut self) {
        if self.replica.on_probation() {
            self.replica.take_new_id(self.now, random_id());
        }
    }

    /// Notes that this client wrote: what it is answered may have to wait for the disk, and `WAIT` is about this.
    pub(super) fn wrote(&mut self) {
        self.session.written = Some(Dot::new(self.replica.id(), self.replica.position()));
        self.session.wrote = true;
    }

    /// The event that carries the client's last write, 0 before the first; `None` if the id it was written under turned
    /// out to be in use elsewhere: then nobody is known to have it.
    pub(super) fn written(&self) -> Option<u64> {
        match self.session.written {
            None => Some(0),
            Some(written) => (written.replica == self.replica.id()).then_some(written.seq),
        }
    }

    /// The time for deadlines, in milliseconds since 1970.
    pub(super) fn time(&self) -> u64 {
        self.moment().now()
    }

    /// The time at which these commands came.
    pub(super) fn now(&self) -> Now {
        self.now
    }

    /// All that there is to tell about this daemon.
    pub(super) fn account(&mut self) -> Account<'_> {
        let counts = self.counts();
        Account::new(self.replica, self.server, counts)
    }

    /// Has the store look ahead for keys that are about to be used.
    pub(super) fn warm(&self, keys: &[(&[u8], &[u8])]) {
        self.replica.store().warm(keys);
    }

    /// How many commands have run since this context was made.
    pub(super) fn commands(&self) -> u64 {
        self.counting.commands.get()
    }

    /// What was counted since this context was made.
    pub(super) fn counts(&self) -> Counts {
        let Counting { commands, errors, hits, misses } = &self.counting;
        Counts { commands: commands.get(), errors: errors.get(), hits: hits.get(), misses: misses.get() }
    }

    /// The store at the time of these commands.
    #[inline]
    fn moment(&self) -> Moment<'_> {
        self.replica.store().at(self.now.wall)
    }

    fn looked_up(&self, key: &[u8], view: Option<&View<'_>>) {
        self.count_lookup(key, view.is_some());
        if self.counts_reads
            && let Some(view) = view
        {
            self.note_read(view);
        }
    }

    #[cold]
    fn note_read(&self, view: &View<'_>) {
        let mut reads = self.reads.borrow_mut();
        if reads.len() < READS_MAX {
            reads.push(view.hash());
        }
    }

    fn count_lookup(&self, key: &[u8], found: bool) {
        count(if found { &self.counting.hits } else { &self.counting.misses });
        if !found && self.server.watch.is_active() {
            self.server.keyspace.tell(&self.server.pubsub, EventClass::MISS, "keymiss", key);
        }
    }
}

fn count(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

/// Whether every one of these writes (key, name, bytes of the value) and all together would be admitted: asked before
/// the first of several, because a command is done whole or not at all.
pub(super) fn admit<'n>(
    writer: &Writer<'_>,
    writes: impl Iterator<Item = (&'n [u8], &'n [u8], usize)>,
) -> Result<(), WriteError> {
    let mut bytes = 0;
    for (key, name, value) in writes {
        writer.admit(key, name, value)?;
        bytes += key.len() + name.len() + value;
    }
    writer.admit_group(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::{Parser, Protocol};
    use cahoots_gossip::engine::ReplicaConfig;

    /// As a transaction or a script will: each command with a reply of its own, under one context.
    #[test]
    fn a_command_called_with_a_buffer_answers_there_and_counts_as_any_other() {
        let server = crate::fuzz::server();
        let now = Now { mono: 0, wall: 1 };
        let mut replica = Replica::new(ReplicaConfig::default(), ReplicaId::new(1), now);
        let mut session = Session::new(1, "a", "b");
        let mut context = Context::new(&mut replica, now, &mut session, &server);
        let mut parser = Parser::new(server.limits.frame);
        let mut call = |line: &str| {
            let mut frame = format!("{line}\r\n").into_bytes();
            let length = parser.parse(&mut frame).expect("a line").expect("whole");
            let mut out = Vec::new();
            let flow = context.call(parser.args(&frame[..length]), &mut Reply::new(&mut out, Protocol::Resp3));
            (matches!(flow, Flow::Continue), String::from_utf8(out).expect("text"))
        };
        let cases = [
            ("SET k 1", "+OK\r\n"),
            ("INCR k", ":2\r\n"),
            ("GET missing", "_\r\n"),
            ("GET", "-ERR wrong number of arguments for 'get' command\r\n"),
            ("SADD k a", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
            ("SMEMBERS none", "~0\r\n"),
            ("GET k", "$1\r\n2\r\n"),
        ];
        for (line, answer) in cases {
            assert_eq!(call(line), (true, answer.to_owned()), "{line}");
        }
        assert!(!call("WAIT 1 0").0, "it waits, and its caller has to know");
        assert_eq!(context.counts(), Counts { commands: 8, errors: 2, hits: 1, misses: 2 });
        assert_eq!(context.written(), Some(1), "both writes are one event, for the window is open");
    }
}
