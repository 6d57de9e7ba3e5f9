//! Several daemons that form a cluster.

use std::collections::BTreeMap;
use std::ops::Index;

use tempfile::TempDir;

use super::{Client, Daemon, Relay, Setup, Value, until};

/// Names of nodes, in their order.
const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Daemons `0..n`, each of which has those before it as seeds.
pub struct Group {
    daemons: Vec<Option<Daemon>>,
    directory: TempDir,
    /// What stands between them, if anything.
    pub relay: Option<Relay>,
}

impl Group {
    /// So many daemons that see each other.
    #[must_use]
    pub fn start(size: usize) -> Self {
        Self::with(size, None)
    }

    /// The same with a relay on every link, faultless until told otherwise.
    #[must_use]
    pub fn start_relayed(size: usize, seed: u64) -> Self {
        Self::with(size, Some(seed))
    }

    /// Daemons with data directories, on a relayed network, that are given these flags. They answer with what their own
    /// disks have, before peers have helped.
    #[must_use]
    pub fn start_kept(size: usize, seed: u64, flags: &[&str]) -> Self {
        Self::with_flags(size, Some(seed), |directory, name| {
            let data = directory.join(format!("{name}.data"));
            let data = data.to_string_lossy().into_owned();
            let own = ["--serve-while-joining".to_owned(), "--data-dir".to_owned(), data];
            own.into_iter().chain(flags.iter().map(|flag| (*flag).to_owned())).collect()
        })
    }

    /// Daemons with data directories, `a.data` and so on in [`Group::directory`], and these flags.
    #[must_use]
    pub fn start_stored(size: usize, flags: &[&str]) -> Self {
        Self::with_flags(size, None, |directory, name| {
            let data = directory.join(format!("{name}.data")).to_string_lossy().into_owned();
            let own = ["--data-dir".to_owned(), data];
            own.into_iter().chain(flags.iter().map(|flag| (*flag).to_owned())).collect()
        })
    }

    fn with(size: usize, seed: Option<u64>) -> Self {
        Self::with_flags(size, seed, |_, _| Vec::new())
    }

    fn with_flags(size: usize, seed: Option<u64>, flags: impl Fn(&std::path::Path, &str) -> Vec<String>) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let relay = seed.map(|seed| Relay::start(size, seed));
        let mut daemons: Vec<Option<Daemon>> = Vec::new();
        for (number, name) in NAMES[..size].iter().enumerate() {
            let mut setup = Setup::new(name, directory.path());
            setup.flags = flags(directory.path(), name);
            setup.seeds = match &relay {
                Some(relay) => relay.fronts().to_vec(),
                None => daemons.iter().flatten().map(|daemon| daemon.setup.listen).collect(),
            };
            setup.advertise = relay.as_ref().map(|relay| relay.fronts()[number]);
            let daemon = Daemon::start(setup);
            if let Some(relay) = &relay {
                relay.attach(number, daemon.setup.listen);
            }
            daemons.push(Some(daemon));
        }
        let group = Self { daemons, directory, relay };
        (0..size).for_each(|number| group[number].await_peers(size - 1));
        group
    }

    /// Where sockets and logs are.
    #[must_use]
    pub fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// Takes a daemon out, to end it in some way.
    ///
    /// # Panics
    /// If it is not there.
    pub fn take(&mut self, number: usize) -> Daemon {
        self.daemons[number].take().expect("it is there")
    }

    /// Puts one in its place.
    pub fn put(&mut self, number: usize, daemon: Daemon) {
        self.daemons[number] = Some(daemon);
    }

    /// Adds one that was started apart.
    pub fn push(&mut self, daemon: Daemon) {
        self.daemons.push(Some(daemon));
    }

    /// Connections to all that run.
    #[must_use]
    pub fn clients(&self) -> Vec<Client> {
        self.running().map(Daemon::client).collect()
    }

    /// The process ids of all that run.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        self.running().map(Daemon::pid).collect()
    }

    fn running(&self) -> impl Iterator<Item = &Daemon> {
        self.daemons.iter().flatten()
    }

    /// Waits until all that run have applied the same events; checks that they then hold the same state and show the
    /// same keys with the same contents.
    ///
    /// # Panics
    /// If they do not.
    pub fn agree(&self) {
        self.agree_on_versions();
        let mut dumps = self.running().map(dump);
        let first = dumps.next().expect("one runs");
        assert!(dumps.all(|dump| dump == first), "equal fingerprints, different contents");
    }

    /// Waits until all that run have applied the same events; checks that their fingerprints are equal then.
    ///
    /// # Panics
    /// If they do not, or are not.
    pub fn agree_on_versions(&self) {
        let fingerprint = until("all daemons have applied the same events", || {
            let states: Vec<_> = self.running().map(Daemon::status).collect();
            let of = |status: &Value| (status.at("applied").clone(), status.at("fingerprint").clone());
            let first = of(&states[0]);
            let same = states
                .iter()
                .all(|status| of(status).0 == first.0 && *status.at("catching_up") == Value::Boolean(false));
            if same {
                Ok(states.iter().map(of).collect::<Vec<_>>())
            } else {
                Err(format!("{:?}", states.iter().map(of).collect::<Vec<_>>()))
            }
        });
        assert!(
            fingerprint.iter().all(|it| *it == fingerprint[0]),
            "equal versions, different states: {fingerprint:?}"
        );
    }
}

impl Index<usize> for Group {
    type Output = Daemon;

    fn index(&self, number: usize) -> &Daemon {
        self.daemons[number].as_ref().expect("it runs")
    }
}

/// Everything a daemon holds, by key.
fn dump(daemon: &Daemon) -> BTreeMap<Value, Value> {
    let mut client = daemon.client();
    let (mut cursor, mut all) = (b"0".to_vec(), BTreeMap::new());
    loop {
        let page = client.call(&[b"SCAN", &cursor, b"COUNT", b"1000"]);
        for key in page.array()[1].array() {
            let Value::Text(name) = key else { panic!("{key:?} is no key") };
            let Some(content) = content(&mut client, name) else { continue };
            let end = client.call(&[b"PEXPIRETIME", name]);
            all.insert(key.clone(), Value::Array(vec![content, end]));
        }
        let Value::Text(next) = &page.array()[0] else { panic!("{page:?} is no page") };
        cursor.clone_from(next);
        if cursor == b"0" {
            return all;
        }
    }
}

/// What a key holds; `None` if it has ended meanwhile.
fn content(client: &mut Client, key: &[u8]) -> Option<Value> {
    let Value::Text(class) = client.call(&[b"TYPE", key]) else { panic!("a type is a text") };
    let words: &[&[u8]] = match &class[..] {
        b"none" => return None,
        b"string" => &[b"GET", key],
        b"set" => &[b"SMEMBERS", key],
        b"hash" => &[b"HGETALL", key],
        b"list" => &[b"LRANGE", key, b"0", b"-1"],
        b"zset" => &[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"],
        b"stream" => &[b"XINFO", b"STREAM", key, b"FULL", b"COUNT", b"0"],
        other => panic!("a key of type {}", String::from_utf8_lossy(other)),
    };
    match client.call(words) {
        Value::Array(mut members) if class == b"set" => {
            members.sort();
            Some(Value::Array(members))
        }
        content => Some(content),
    }
}
