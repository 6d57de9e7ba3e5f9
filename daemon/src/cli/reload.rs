//! SIGHUP: the configuration and the key file are read again, and what can change while a daemon runs does.
//!
//! Everything is read and checked first, so a bad file changes nothing. What cannot change is told of, each time, until
//! the daemon is started again or the file is as it was.

use std::convert::Infallible;
use std::path::Path;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use clap::ArgMatches;
use tokio::signal::unix::Signal;
use tracing::{error, info, warn};

use super::log::Level;
use crate::config::{Config, Flags, KeyFileError, read_keys};
use crate::state::{Farewell, Server, clients_with_files};
use cahoots_gossip::driver::Node;
use cahoots_gossip::wire::ClusterKey;

/// Settings that change at once; the keys in the file, besides.
const AT_ONCE: [&str; 6] = ["log-level", "key-file", "linger-ms", "drain-replicas", "drain-ms", "clients-max"];

/// A cluster's keys: the first seals, all open.
pub(super) type Keys = Vec<ClusterKey>;

/// Reads the configured keys, if there are to be any.
pub(super) fn keys(file: Option<&Path>) -> Result<Option<Keys>, KeyFileError> {
    let keys = file.map(read_keys).transpose()?;
    Ok(keys.map(|keys| keys.into_iter().map(ClusterKey::new).collect()))
}

/// How the daemon stops, as configured.
pub(super) fn farewell(config: &Config) -> Farewell {
    Farewell {
        linger: Duration::from_millis(config.linger_ms.value),
        replicas: config.drain_replicas.value,
        drain: Duration::from_millis(config.drain_ms.value),
    }
}

/// What is needed to read the configuration again.
pub(super) struct Reloader<'a> {
    pub(super) flags: Flags,
    pub(super) matches: &'a ArgMatches,
    /// What is in force.
    pub(super) config: Config,
    pub(super) keys: Option<Keys>,
    pub(super) level: Level,
}

impl Reloader<'_> {
    /// Reloads at each signal, as long as this is polled.
    pub(super) async fn reload_when_told(&mut self, hangup: &mut Signal, node: &Node, server: &Server) -> Infallible {
        loop {
            hangup.recv().await;
            self.reload(node, server);
        }
    }

    /// Reads everything again. Says in the log what changed, what did not, and what needs a restart.
    fn reload(&mut self, node: &Node, server: &Server) {
        let (config, keys) = match self.read() {
            Ok(read) => read,
            Err(error) => {
                let cause = error.source().map_or_else(String::new, |cause| format!(": {cause}"));
                return error!("SIGHUP: nothing is reloaded, everything stays as it is: {error}{cause}");
            }
        };
        let (mut changed, mut restart) = (Vec::new(), Vec::new());
        let has_key = |keys: &Option<Keys>| keys.is_some();
        for (name, was, is) in self.config.differences(&config) {
            let possible = AT_ONCE.contains(&&*name) && (name != "key-file" || has_key(&self.keys) == has_key(&keys));
            // Not even a hash belongs into the log.
            let text = if name == "requirepass" { name.clone() } else { format!("{name} from {was} to {is}") };
            if possible { &mut changed } else { &mut restart }.push(text);
        }
        if let (Some(was), Some(is)) = (&self.keys, &keys)
            && let [first, others @ ..] = &is[..]
            && was != is
            && node.set_keys(first, others)
        {
            let seals = match (was.first() == Some(first), was.contains(first)) {
                (true, _) => "sealed by the same as before",
                (false, true) => "sealed by one that was accepted before",
                (false, false) => "sealed by one that was not accepted before",
            };
            if !was.contains(first) {
                warn!(
                    "members that have not been given the new key yet cannot read this one any more: add a new key as the \
                     second line of the file everywhere first"
                );
            }
            changed.push(format!("keys from {} accepted to {}, {seals}", was.len(), is.len()));
            self.keys = keys;
        }
        *server.farewell.lock().unwrap_or_else(PoisonError::into_inner) = farewell(&config);
        if config.limits.clients_max != self.config.limits.clients_max {
            server.clients_max.store(clients_with_files(config.limits.clients_max), Relaxed);
        }
        // Before and after, so that either level has the account.
        let account = |why: &str| {
            let none = |list: &[String]| if list.is_empty() { "nothing".to_owned() } else { list.join("; ") };
            info!(changed = none(&changed), needs_a_restart = none(&restart), "SIGHUP: {why}; the rest is the same");
        };
        if config.log_level.value != self.config.log_level.value {
            account("about to change the level of the log");
            self.level.set(config.log_level.value);
        }
        account("configuration and keys are read again");
        let running = &mut self.config;
        (running.log_level, running.linger_ms) = (config.log_level, config.linger_ms);
        (running.drain_replicas, running.drain_ms) = (config.drain_replicas, config.drain_ms);
        running.limits.clients_max = config.limits.clients_max;
        if self.keys.is_some() && config.key_file.value.is_some() {
            running.key_file = config.key_file;
        }
    }

    fn read(&self) -> Result<(Config, Option<Keys>), Box<dyn std::error::Error + Send + Sync>> {
        let config = Config::resolve(self.flags.clone(), self.matches)?;
        let keys = keys(config.key_file.value.as_deref())?;
        Ok((config, keys))
    }
}
