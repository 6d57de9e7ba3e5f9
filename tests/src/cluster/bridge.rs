//! Hosts on a bridge: a network namespace for each, whose links can be cut one way, or let through only some datagrams.
//!
//! Needs root, `ip` and `nft`. Clients reach daemons inside by their Unix sockets, which lie in the file system.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Says that a test which needs namespaces must not be left out.
const REQUIRED: &str = "CAHOOTS_REQUIRE_NETNS";

/// Every host, numbered from 1, has the addresses 10.77.0.N and fd77::N. Gone when dropped.
#[derive(Debug)]
pub struct Bridge {
    /// Of the names of the namespaces.
    prefix: String,
    hosts: usize,
    rules: Rules,
}

#[derive(Debug, Default)]
struct Rules {
    /// Nothing passes from the one to the other.
    cut: BTreeSet<(usize, usize)>,
    /// No longer IP packet passes from the one to the other.
    length_max: BTreeMap<(usize, usize), usize>,
    /// Nothing for this UDP port passes to the host.
    closed: BTreeSet<(usize, u16)>,
    /// Of 100 UDP datagrams between any two hosts, how many vanish.
    loss: u32,
}

impl Bridge {
    /// So many hosts; or nothing, with a complaint, where namespaces cannot be had.
    ///
    /// # Panics
    /// If they cannot be had, and `CAHOOTS_REQUIRE_NETNS` is set.
    #[must_use]
    pub fn new(hosts: usize) -> Option<Self> {
        static BRIDGES: AtomicUsize = AtomicUsize::new(0);
        let number = BRIDGES.fetch_add(1, Ordering::Relaxed);
        let bridge =
            Self { prefix: format!("cahoots-{}-{number}", std::process::id()), hosts, rules: Rules::default() };
        match bridge.build() {
            Ok(()) => Some(bridge),
            Err(error) => {
                assert!(std::env::var_os(REQUIRED).is_none(), "no namespaces here, and {REQUIRED} is set: {error}");
                eprintln!("NOT TESTED: this test needs network namespaces (root, iproute2, nftables): {error}");
                None
            }
        }
    }

    fn build(&self) -> Result<(), String> {
        let switch = self.switch();
        ip(&format!("netns add {switch}"))?;
        ip(&format!("-n {switch} link add br0 type bridge"))?;
        ip(&format!("-n {switch} link set br0 up"))?;
        for host in 1..=self.hosts {
            let name = self.host(host);
            ip(&format!("netns add {name}"))?;
            ip(&format!("link add eth0 netns {name} type veth peer name p{host} netns {switch}"))?;
            ip(&format!("-n {name} addr add 10.77.0.{host}/24 dev eth0"))?;
            ip(&format!("-n {name} addr add fd77::{host}/64 dev eth0 nodad"))?;
            ip(&format!("-n {name} link set lo up"))?;
            // Whoever hands over many datagrams as one may not lose them as one.
            ip(&format!("-n {name} link set eth0 up gso_max_segs 1"))?;
            // Nobody is there; but a daemon that is told of no other looks where it would send from.
            ip(&format!("-n {name} route add default via 10.77.0.254 dev eth0"))?;
            ip(&format!("-n {switch} link set p{host} master br0"))?;
            ip(&format!("-n {switch} link set p{host} up"))?;
        }
        self.apply()
    }

    fn switch(&self) -> String {
        format!("{}-switch", self.prefix)
    }

    fn host(&self, host: usize) -> String {
        format!("{}-{host}", self.prefix)
    }

    /// What runs a command at a host.
    #[must_use]
    pub fn within(&self, host: usize) -> Vec<String> {
        ["ip", "netns", "exec", &self.host(host)].map(str::to_owned).into()
    }

    /// A port of a host.
    #[must_use]
    pub fn address(host: usize, port: u16) -> SocketAddr {
        SocketAddr::from(([10, 77, 0, u8::try_from(host).expect("a few hosts")], port))
    }

    /// Gives a host another address.
    ///
    /// # Panics
    /// If it has that already.
    pub fn add_address(&self, host: usize, address: &str) {
        ip(&format!("-n {} addr add {address}/24 dev eth0", self.host(host))).expect("a new address");
    }

    /// Cuts what goes from one host to another, or lets it pass again.
    pub fn cut(&mut self, from: usize, to: usize, is_cut: bool) {
        if is_cut {
            self.rules.cut.insert((from, to));
        } else {
            self.rules.cut.remove(&(from, to));
        }
        self.apply().expect("rules of nftables");
    }

    /// Cuts a host off, both ways, or joins it again.
    pub fn isolate(&mut self, host: usize, is_cut: bool) {
        for other in (1..=self.hosts).filter(|other| *other != host) {
            self.cut(host, other, is_cut);
            self.cut(other, host, is_cut);
        }
    }

    /// Drops longer IP packets between two hosts, both ways and without a word; `None` lets all pass.
    pub fn limit(&mut self, one: usize, other: usize, length_max: Option<usize>) {
        for link in [(one, other), (other, one)] {
            match length_max {
                Some(length) => self.rules.length_max.insert(link, length),
                None => self.rules.length_max.remove(&link),
            };
        }
        self.apply().expect("rules of nftables");
    }

    /// Closes a UDP port of a host to all others, or opens it again.
    pub fn close(&mut self, host: usize, port: u16, is_closed: bool) {
        if is_closed {
            self.rules.closed.insert((host, port));
        } else {
            self.rules.closed.remove(&(host, port));
        }
        self.apply().expect("rules of nftables");
    }

    /// Loses so many of 100 UDP datagrams from now on, whatever their port: events, membership, and streams.
    pub fn lose(&mut self, percent: u32) {
        self.rules.loss = percent;
        self.apply().expect("rules of nftables");
    }

    /// How many datagrams were lost by chance since the rules were last changed.
    ///
    /// # Panics
    /// If `nft` does not say.
    #[must_use]
    pub fn lost(&self) -> u64 {
        let mut nft = Command::new("ip");
        nft.args(["netns", "exec", &self.switch(), "nft", "list", "counter", "bridge", "faults", "lost"]);
        let output = nft.stdin(Stdio::null()).output().expect("ip runs");
        succeeded("nft", &output).expect("there is a counter");
        let shown = String::from_utf8_lossy(&output.stdout);
        let mut words = shown.split_whitespace().skip_while(|word| *word != "packets").skip(1);
        words.next().and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no count in {shown}"))
    }

    fn apply(&self) -> Result<(), String> {
        let mut script = String::from(
            "table bridge faults\ndelete table bridge faults\n\
             table bridge faults {\ncounter lost { }\nchain forward {\ntype filter hook forward priority 0;\n",
        );
        for (from, to) in &self.rules.cut {
            script += &format!("iifname \"p{from}\" oifname \"p{to}\" drop\n");
        }
        for ((from, to), length) in &self.rules.length_max {
            script += &format!("iifname \"p{from}\" oifname \"p{to}\" ip length > {length} drop\n");
        }
        for (host, port) in &self.rules.closed {
            script += &format!("oifname \"p{host}\" udp dport {port} drop\n");
        }
        if self.rules.loss > 0 {
            script += &format!("meta l4proto udp numgen random mod 100 < {} counter name lost drop\n", self.rules.loss);
        }
        script += "}\n}\n";
        let mut nft = Command::new("ip");
        nft.args(["netns", "exec", &self.switch(), "nft", "-f", "-"]);
        nft.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = nft.spawn().map_err(|error| format!("ip: {error}"))?;
        let written = child.stdin.take().expect("it is piped").write_all(script.as_bytes());
        let output = child.wait_with_output().map_err(|error| format!("nft: {error}"))?;
        succeeded("nft", &output).and_then(|()| written.map_err(|error| format!("nft: {error}")))
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        for host in 1..=self.hosts {
            let _ = ip(&format!("netns delete {}", self.host(host)));
        }
        let _ = ip(&format!("netns delete {}", self.switch()));
    }
}

fn ip(words: &str) -> Result<(), String> {
    let output = Command::new("ip").args(words.split_whitespace()).stdin(Stdio::null()).output();
    succeeded(words, &output.map_err(|error| format!("ip: {error}"))?)
}

fn succeeded(what: &str, output: &Output) -> Result<(), String> {
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{what}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
