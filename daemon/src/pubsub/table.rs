//! Who listens to what.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::subscriptions::cost;
use super::{CLIENT_BYTES_MAX, Subscriptions, Topic};
use crate::command::glob_matches;
use crate::resp::{Protocol, Reply};
use crate::session::Client;

/// Bytes of the names that all clients may listen to together, with what each costs beside.
pub const TOTAL_BYTES_MAX: usize = 256 << 20;

/// Those who listen to one name, by their numbers.
type Listeners = BTreeMap<u64, Arc<Client>>;

/// Who listens to what.
#[derive(Default)]
pub struct PubSub(Mutex<Table>);

#[derive(Default)]
struct Table {
    channels: HashMap<Box<[u8]>, Listeners>,
    shards: HashMap<Box<[u8]>, Listeners>,
    patterns: BTreeMap<Box<[u8]>, Listeners>,
    bytes: usize,
}

impl fmt::Debug for PubSub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.table();
        f.debug_struct("PubSub").field("channels", &table.channels.len()).finish_non_exhaustive()
    }
}

/// A message as it is sent: written once for each version of the protocol.
struct Encoded<'m> {
    kind: &'static str,
    parts: &'m [&'m [u8]],
    bytes: [Option<Vec<u8>>; 2],
}

impl<'m> Encoded<'m> {
    fn new(kind: &'static str, parts: &'m [&'m [u8]]) -> Self {
        Self { kind, parts, bytes: [None, None] }
    }

    fn send(&mut self, to: &Client) {
        let protocol = to.protocol();
        let (kind, parts) = (self.kind, self.parts);
        let bytes = self.bytes[usize::from(protocol == Protocol::Resp3)].get_or_insert_with(|| {
            let mut bytes = Vec::new();
            let mut reply = Reply::new(&mut bytes, protocol);
            reply.push(1 + parts.len());
            reply.bulk(kind.as_bytes());
            parts.iter().for_each(|part| reply.bulk(part));
            bytes
        });
        to.inbox.push(bytes);
    }
}

impl PubSub {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `client`, which listens to `its` by now, may listen to `more`, too.
    #[must_use]
    pub fn has_room<'n>(&self, its: &Subscriptions, topic: Topic, more: impl Iterator<Item = &'n [u8]>) -> bool {
        let more: usize = more.filter(|name| !its.has(topic, name)).map(cost).sum();
        its.bytes() + more <= CLIENT_BYTES_MAX && self.table().bytes + more <= TOTAL_BYTES_MAX
    }

    /// Has a client listen.
    pub fn subscribe(&self, client: &Arc<Client>, its: &mut Subscriptions, topic: Topic, name: &[u8]) {
        if its.insert(topic, name) {
            let mut table = self.table();
            table.bytes += cost(name);
            table.listeners_mut(topic, name).insert(client.id, Arc::clone(client));
        }
    }

    /// Has a client listen no longer.
    pub fn unsubscribe(&self, client: &Client, its: &mut Subscriptions, topic: Topic, name: &[u8]) {
        if its.remove(topic, name) {
            self.table().remove(client, topic, name);
        }
    }

    /// Has a client listen to nothing any more.
    pub fn forget(&self, client: &Client, its: &Subscriptions) {
        let mut table = self.table();
        for topic in Topic::ALL {
            its.names(topic).for_each(|name| table.remove(client, topic, name));
        }
    }

    /// Sends a message to those clients who listen to a channel or a pattern that matches it; says to how many.
    /// O(listeners + patterns).
    pub fn publish(&self, topic: Topic, channel: &[u8], message: &[u8]) -> usize {
        let table = self.table();
        if topic == Topic::Shard {
            return table.publish_sharded(channel, message);
        }
        let mut count = 0;
        if let Some(listeners) = table.channels.get(channel) {
            let parts = [channel, message];
            let mut encoded = Encoded::new("message", &parts);
            listeners.values().for_each(|client| encoded.send(client));
            count += listeners.len();
        }
        for (pattern, listeners) in table.patterns.iter().filter(|(pattern, _)| glob_matches(pattern, channel)) {
            let parts = [pattern, channel, message];
            let mut encoded = Encoded::new("pmessage", &parts);
            listeners.values().for_each(|client| encoded.send(client));
            count += listeners.len();
        }
        count
    }

    /// Hands everybody who listens to something to `each`, with what that is.
    pub fn each_listener(&self, mut each: impl FnMut(Topic, &[u8], &Client)) {
        let table = self.table();
        let named = |topic| table.named(topic).iter().map(move |(name, its)| (topic, name, its));
        let patterns = table.patterns.iter().map(|(name, its)| (Topic::Pattern, name, its));
        for (topic, name, listeners) in named(Topic::Channel).chain(named(Topic::Shard)).chain(patterns) {
            listeners.values().for_each(|client| each(topic, name, client));
        }
    }

    /// The channels that are listened to by name, and whose names match `pattern`.
    #[must_use]
    pub fn channels(&self, topic: Topic, pattern: Option<&[u8]>) -> Vec<Box<[u8]>> {
        let table = self.table();
        let names = table.named(topic).keys();
        names.filter(|name| pattern.is_none_or(|pattern| glob_matches(pattern, name))).cloned().collect()
    }

    /// How many listen to a channel by its name.
    #[must_use]
    pub fn listeners(&self, topic: Topic, name: &[u8]) -> usize {
        self.table().named(topic).get(name).map_or(0, BTreeMap::len)
    }

    /// How many patterns, and how many channels, are listened to.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let table = self.table();
        (table.patterns.len(), table.channels.len())
    }

    /// How many channels of shards are listened to.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.table().shards.len()
    }
}

impl Table {
    /// Patterns do not concern the channels of shards.
    fn publish_sharded(&self, channel: &[u8], message: &[u8]) -> usize {
        let Some(listeners) = self.shards.get(channel) else { return 0 };
        let parts = [channel, message];
        let mut encoded = Encoded::new("smessage", &parts);
        listeners.values().for_each(|client| encoded.send(client));
        listeners.len()
    }

    fn named(&self, topic: Topic) -> &HashMap<Box<[u8]>, Listeners> {
        if topic == Topic::Shard { &self.shards } else { &self.channels }
    }

    fn listeners_mut(&mut self, topic: Topic, name: &[u8]) -> &mut Listeners {
        match topic {
            Topic::Channel => self.channels.entry(name.into()).or_default(),
            Topic::Shard => self.shards.entry(name.into()).or_default(),
            Topic::Pattern => self.patterns.entry(name.into()).or_default(),
        }
    }

    fn remove(&mut self, client: &Client, topic: Topic, name: &[u8]) {
        let listeners = match topic {
            Topic::Channel => self.channels.get_mut(name),
            Topic::Shard => self.shards.get_mut(name),
            Topic::Pattern => self.patterns.get_mut(name),
        };
        let Some(listeners) = listeners else { return };
        if listeners.remove(&client.id).is_none() {
            return;
        }
        let is_empty = listeners.is_empty();
        self.bytes -= cost(name);
        if is_empty {
            match topic {
                Topic::Channel => drop(self.channels.remove(name)),
                Topic::Shard => drop(self.shards.remove(name)),
                Topic::Pattern => drop(self.patterns.remove(name)),
            }
        }
    }
}
