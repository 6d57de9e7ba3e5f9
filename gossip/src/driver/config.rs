//! What a node needs to know to start, and why it may refuse.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use cahoots_crdt::ReplicaId;
use thiserror::Error;

use super::socket::{Families, canonical};
use crate::engine::ReplicaConfig;

/// Bytes of a node's name. It travels in every membership digest, once per member.
const NAME_BYTES_MAX: usize = 128;

/// What a node is, where it listens, and whom it asks first.
///
/// ```
/// use cahoots_gossip::driver::NodeConfig;
///
/// let mut config = NodeConfig::new("alpha", "127.0.0.1:7700".parse().unwrap());
/// config.seeds = vec!["127.0.0.1:7701".into(), "db.internal:7700".into()];
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NodeConfig {
    /// The node's name, unique in its cluster and the same after a restart: 1 to 128 bytes, no control characters.
    pub name: String,
    /// The UDP address to bind, IPv4 or IPv6; `[::]` serves both. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The address peers reach this node at. Default: the listen address, or, when that is unspecified (`0.0.0.0`,
    /// `[::]`), the address the machine would use to reach the first seed, which also decides the family; with seeds given by
    /// name, or none, that of its default route. Port 0 stands for the bound port.
    pub advertise: Option<SocketAddr>,
    /// The UDP address for streams, by which replicas catch up. Default: a free port at the IP of `listen`. Where a
    /// firewall stands between members, its port must be fixed here and let through.
    pub bulk_listen: Option<SocketAddr>,
    /// The address peers reach that port at. Default: the IP of `advertise`, or of `bulk_listen` if it has one of its own,
    /// and the bound port. Port 0 stands for the bound port.
    pub bulk_advertise: Option<SocketAddr>,
    /// Bytes of answers to own requests under way at once: a bucket, a thousandth of all data, travels in one. Default
    /// 256 MiB. Memory is taken for what is on its way, 1 MiB in the usual case. A bucket that is longer, as one huge
    /// collection makes it, travels beside these, one at a time, and takes as much memory again as it is long; beyond
    /// 4 GiB it cannot.
    pub bulk_bytes_max: usize,
    /// Time after which a stream on which nothing moves counts as broken. Default 5 s.
    pub bulk_patience: Duration,
    /// Whom to ask for the cluster, as `address:port` or `name:port`. They need not be up, and may name this node.
    /// Names are resolved again and again, so a headless service or a round-robin record is a fine seed.
    pub seeds: Vec<String>,
    /// Where members were when this replica ran last, as `address:port`: called on like seeds, but not waited for. A node
    /// that remembers some takes itself for the first of its cluster only once nobody has answered in time, even if all its
    /// seeds turn out to be itself.
    pub remembered: Vec<String>,
    /// Which first starts of a cluster this replica is known to go back to, as [`Node::founding`](crate::driver::Node::founding)
    /// told before. Default: none is known.
    pub founding: Vec<u64>,
    /// Where this node stands: a region or a data centre. Shown in [`Member`](crate::driver::Member); in a cluster of more
    /// than 16, changes cross between zones as seldom as can be. Overrides the zone of [`NodeConfig::replica`].
    pub zone: Option<String>,
    /// The id to continue under. Default: a fresh random one, which is right unless storage provably holds
    /// everything this id ever told anyone. One that turns out to have been used otherwise is given up, see
    /// [`Node::id`](crate::driver::Node::id).
    pub id: Option<ReplicaId>,
    /// Allows an address other than loopback without a cluster key: any process that reaches the port can then read and
    /// write everything.
    pub insecure: bool,
    /// Time between two rounds of membership gossip. Default 250 ms: a member is known after two to three rounds.
    pub gossip_interval: Duration,
    /// Time without a sign of life after which a peer counts as down. Default 4 s: five times what a busy machine or
    /// a short loss of packets has been seen to hold back, and still quick enough for a failover.
    pub failure_timeout: Duration,
    /// How long a node that has seeds goes without progress in catching up with their cluster before it counts as ready
    /// all the same. Default 10 s: a peer that is up is known after half a second, so after forty rounds of membership
    /// without an answer there is none to be expected; and a node that runs under an id that is in use has ended by
    /// then (after twice the failure timeout) without having served a client. A node without seeds is ready at once.
    /// See [`Node::ready`](crate::driver::Node::ready).
    pub join_timeout: Duration,
    /// Cluster name and key, limits, sizes: what the engine itself needs.
    pub replica: ReplicaConfig,
}

impl NodeConfig {
    /// A node of this name on this address, everything else as documented at the fields.
    pub fn new(name: impl Into<String>, listen: SocketAddr) -> Self {
        Self {
            name: name.into(),
            listen,
            advertise: None,
            bulk_listen: None,
            bulk_advertise: None,
            bulk_bytes_max: 256 << 20,
            bulk_patience: Duration::from_secs(5),
            seeds: Vec::new(),
            remembered: Vec::new(),
            founding: Vec::new(),
            zone: None,
            id: None,
            insecure: false,
            gossip_interval: Duration::from_millis(250),
            failure_timeout: Duration::from_secs(4),
            join_timeout: Duration::from_secs(10),
            replica: ReplicaConfig::default(),
        }
    }

    /// Everything that can be refused before a socket exists.
    pub(super) fn check(&self) -> Result<(), StartError> {
        if self.name.is_empty() || self.name.len() > NAME_BYTES_MAX || self.name.chars().any(char::is_control) {
            return Err(StartError::Name { name: self.name.clone() });
        }
        if let Some(seed) = self.seeds.iter().chain(&self.remembered).find(|seed| !is_host_and_port(seed)) {
            return Err(StartError::Seed { seed: seed.clone() });
        }
        if self.replica.key.is_none()
            && !self.insecure
            && let Some(listen) = [self.listen, self.bulk_address()].into_iter().find(|it| !it.ip().is_loopback())
        {
            return Err(StartError::Unprotected { listen });
        }
        if self.gossip_interval.is_zero() || self.failure_timeout < self.gossip_interval * 4 {
            return Err(StartError::Timing {
                gossip_interval: self.gossip_interval,
                failure_timeout: self.failure_timeout,
            });
        }
        for (listen, advertise) in [(self.listen, self.advertise), (self.bulk_address(), self.bulk_advertise)] {
            if let Some(advertise) = advertise.filter(|advertise| advertise.ip().is_unspecified()) {
                return Err(StartError::Advertise { listen, advertise: Some(advertise) });
            }
        }
        Ok(())
    }

    /// The address to announce, once `bound` is known and what families that socket speaks. Never an unspecified one.
    pub(super) fn advertised(&self, bound: SocketAddr, families: Families) -> Result<SocketAddr, StartError> {
        let mut address = match self.advertise {
            Some(advertise) => canonical(advertise),
            None if bound.ip().is_unspecified() => {
                let nowhere = StartError::Advertise { listen: self.listen, advertise: None };
                SocketAddr::new(self.routed_source(families).ok_or(nowhere)?, 0)
            }
            None => canonical(bound),
        };
        if address.port() == 0 {
            address.set_port(bound.port());
        }
        if !families.include(address) {
            return Err(StartError::Family { listen: self.listen, advertise: address });
        }
        Ok(address)
    }

    /// The address to bind for streams.
    pub(super) fn bulk_address(&self) -> SocketAddr {
        self.bulk_listen.unwrap_or_else(|| {
            let mut listen = self.listen;
            listen.set_port(0);
            listen
        })
    }

    /// The address for streams to announce, once those of both ports are known: where peers reach this node anyway,
    /// unless streams come in at an IP of their own.
    pub(super) fn bulk_advertised(
        &self,
        bound: SocketAddr,
        families: Families,
        advertised: SocketAddr,
    ) -> Result<SocketAddr, StartError> {
        let own = !bound.ip().is_unspecified() && bound.ip() != self.listen.ip();
        let default = SocketAddr::new(if own { bound.ip() } else { advertised.ip() }, 0);
        let mut address = canonical(self.bulk_advertise.unwrap_or(default));
        if address.port() == 0 {
            address.set_port(bound.port());
        }
        if !families.include(address) {
            return Err(StartError::Family { listen: self.bulk_address(), advertise: address });
        }
        Ok(address)
    }

    /// The address the kernel would send from: towards the first seed given by address, else by its default route, IPv6 first.
    fn routed_source(&self, families: Families) -> Option<IpAddr> {
        let seeds =
            self.seeds.iter().chain(&self.remembered).filter_map(|seed| seed.parse::<SocketAddr>().ok()).map(canonical);
        let first = seeds.clone().find(|seed| families.include(*seed)).map(|seed| seed.is_ipv4());
        let others = [(false, families.v6), (true, families.v4)].into_iter().filter(|(_, speaks)| *speaks);
        first.into_iter().chain(others.map(|(v4, _)| v4)).find_map(|v4| Self::source_towards(v4, seeds.clone()))
    }

    /// The address of one family that the kernel would send from.
    fn source_towards(v4: bool, seeds: impl Iterator<Item = SocketAddr>) -> Option<IpAddr> {
        // Addresses reserved for documentation: nothing is sent, connecting a UDP socket only asks the routing table.
        let outside: IpAddr =
            if v4 { Ipv4Addr::new(192, 0, 2, 1).into() } else { Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into() };
        seeds.filter(|seed| seed.is_ipv4() == v4).chain([SocketAddr::new(outside, 9)]).find_map(|target| {
            let any: IpAddr = if v4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
            let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
            socket.connect(target).ok()?;
            let ip = socket.local_addr().ok()?.ip();
            (!ip.is_unspecified()).then_some(ip)
        })
    }
}

impl StartError {
    /// What became of binding this UDP address.
    pub(super) fn bind(listen: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::AddressInUse { listen },
            _ => Self::Bind { listen, source },
        }
    }
}

/// `host:port` or `[v6]:port`, without resolving anything.
fn is_host_and_port(seed: &str) -> bool {
    if seed.parse::<SocketAddr>().is_ok() {
        return true;
    }
    seed.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains(':') && port.parse::<u16>().is_ok_and(|port| port != 0)
    })
}

/// Why a node did not start. Nothing is left running.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The name is empty, too long, or holds control characters.
    #[error("the node name {name:?} must have 1 to {NAME_BYTES_MAX} bytes and no control characters")]
    Name {
        /// As configured.
        name: String,
    },
    /// A seed is neither an address nor a name with a port.
    #[error("the seed {seed:?} is not of the form address:port or name:port")]
    Seed {
        /// As configured.
        seed: String,
    },
    /// The failure timeout leaves no room for a few gossip rounds.
    #[error(
        "the failure timeout ({failure_timeout:?}) must be at least four gossip intervals ({gossip_interval:?}, not zero)"
    )]
    Timing {
        /// As configured.
        gossip_interval: Duration,
        /// As configured.
        failure_timeout: Duration,
    },
    /// Without a cluster key everybody who reaches the port may read and write.
    #[error(
        "listening on {listen} without a cluster key would let anyone on the network read and write; \
         set a key, listen on a loopback address, or allow it explicitly with the insecure option"
    )]
    Unprotected {
        /// As configured.
        listen: SocketAddr,
    },
    /// Peers could not reach the node: the address to announce is unspecified, or cannot be found.
    #[error(
        "no address to announce to peers: listening on {listen}, advertising {}; set the advertise address to one that peers can reach",
        .advertise.map_or_else(|| "nothing, and the machine has no route to a seed or to the outside".to_owned(), |a| a.to_string())
    )]
    Advertise {
        /// As configured.
        listen: SocketAddr,
        /// As configured.
        advertise: Option<SocketAddr>,
    },
    /// No peer could reach the node there: the socket does not speak the family of the address to announce.
    #[error(
        "the address to announce to peers, {advertise}, is an {} one, and listening on {listen} serves none of those: \
         announce an address of the other family, or listen on [::], which serves both (unless the system forbids it: \
         net.ipv6.bindv6only)",
        if advertise.is_ipv4() { "IPv4" } else { "IPv6" }
    )]
    Family {
        /// As configured.
        listen: SocketAddr,
        /// As configured, or found.
        advertise: SocketAddr,
    },
    /// Another process has the port.
    #[error("the UDP address {listen} is in use by another process")]
    AddressInUse {
        /// As configured.
        listen: SocketAddr,
    },
    /// The socket could not be made or bound.
    #[error("cannot bind the UDP address {listen}")]
    Bind {
        /// As configured.
        listen: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The timer could not be made.
    #[error("cannot make a timer")]
    Timer {
        /// What the system said.
        source: io::Error,
    },
    /// No tokio runtime is current, or it runs without I/O or time.
    #[error("a node must be started inside a tokio runtime")]
    NoRuntime,
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: Families = Families { v4: true, v6: false };
    const V6: Families = Families { v4: false, v6: true };
    const BOTH: Families = Families { v4: true, v6: true };

    fn config(listen: &str) -> NodeConfig {
        NodeConfig::new("n", listen.parse().unwrap())
    }

    #[test]
    fn without_a_key_only_loopback_or_an_explicit_wish_is_accepted() {
        assert!(config("127.0.0.1:0").check().is_ok());
        assert!(config("[::1]:0").check().is_ok());
        let mut open = config("0.0.0.0:0");
        let error = open.check().unwrap_err();
        assert!(matches!(error, StartError::Unprotected { .. }));
        let text = error.to_string();
        assert!(text.contains("0.0.0.0:0") && text.contains("insecure") && text.contains("key"), "{text}");
        open.insecure = true;
        assert!(open.check().is_ok());
        let mut half = config("127.0.0.1:0");
        half.bulk_listen = Some("0.0.0.0:7201".parse().unwrap());
        assert!(half.check().unwrap_err().to_string().contains("0.0.0.0:7201"));
    }

    #[test]
    fn streams_are_announced_where_the_node_is_unless_they_have_an_ip_of_their_own() {
        let mut node = config("0.0.0.0:7101");
        let advertised = "10.0.0.1:7101".parse().unwrap();
        let announced =
            |node: &NodeConfig, bound: &str| node.bulk_advertised(bound.parse().unwrap(), V4, advertised).unwrap();
        assert_eq!(node.bulk_address(), "0.0.0.0:0".parse().unwrap());
        assert_eq!(announced(&node, "0.0.0.0:4444"), "10.0.0.1:4444".parse().unwrap());
        node.bulk_listen = Some("10.9.0.1:7201".parse().unwrap());
        assert_eq!(announced(&node, "10.9.0.1:7201"), "10.9.0.1:7201".parse().unwrap());
        node.bulk_advertise = Some("192.0.2.1:0".parse().unwrap());
        assert_eq!(announced(&node, "10.9.0.1:7201"), "192.0.2.1:7201".parse().unwrap());
    }

    #[test]
    fn seeds_need_a_host_and_a_port() {
        for (seed, fine) in [
            ("10.0.0.1:7700", true),
            ("[::1]:7700", true),
            ("db.internal:7700", true),
            ("db.internal", false),
            (":7700", false),
            ("::1:x", false),
            ("db:0", false),
            ("db:77000", false),
        ] {
            let mut config = config("127.0.0.1:0");
            config.seeds = vec![seed.into()];
            assert_eq!(config.check().is_ok(), fine, "{seed}");
        }
    }

    #[test]
    fn an_unspecified_address_is_never_announced() {
        let mut node = config("0.0.0.0:0");
        node.insecure = true;
        node.seeds = vec!["127.0.0.1:7700".into()];
        let bound = "0.0.0.0:4444".parse().unwrap();
        assert_eq!(node.advertised(bound, V4).unwrap(), "127.0.0.1:4444".parse().unwrap());
        node.advertise = Some("0.0.0.0:1".parse().unwrap());
        assert!(matches!(node.check(), Err(StartError::Advertise { .. })));
        node.advertise = Some("10.1.2.3:0".parse().unwrap());
        assert_eq!(node.advertised(bound, V4).unwrap(), "10.1.2.3:4444".parse().unwrap());
    }

    #[test]
    fn on_both_families_the_one_of_the_first_seed_is_announced() {
        let mut node = config("[::]:0");
        let bound = "[::]:4444".parse().unwrap();
        for (seeds, announced) in [
            (&["db.internal:1", "127.0.0.1:7700", "[::1]:7700"][..], "127.0.0.1:4444"),
            (&["[::1]:7700", "127.0.0.1:7700"], "[::1]:4444"),
            (&["[::ffff:127.0.0.1]:7700"], "127.0.0.1:4444"),
        ] {
            node.seeds = seeds.iter().map(|seed| (*seed).to_owned()).collect();
            assert_eq!(node.advertised(bound, BOTH).unwrap(), announced.parse().unwrap());
        }
        node.advertise = Some("[::ffff:10.0.0.1]:0".parse().unwrap());
        let advertised = node.advertised(bound, BOTH).unwrap();
        assert_eq!(advertised, "10.0.0.1:4444".parse().unwrap());
        assert_eq!(node.bulk_advertised(bound, BOTH, advertised).unwrap(), advertised);
    }

    #[test]
    fn an_address_of_a_family_that_the_socket_does_not_speak_is_refused() {
        let advertised = "10.0.0.1:7101".parse().unwrap();
        for (listen, advertise) in [("0.0.0.0:7101", "[fd00::1]:7101"), ("[::1]:7101", "10.0.0.1:7101")] {
            let mut node = config(listen);
            node.advertise = Some(advertise.parse().unwrap());
            let families = if listen.starts_with('[') { V6 } else { V4 };
            let error = node.advertised(listen.parse().unwrap(), families).unwrap_err();
            assert!(matches!(error, StartError::Family { .. }), "{error}");
            let text = error.to_string();
            assert!(text.contains(listen) && text.contains(advertise) && text.contains("[::]"), "{text}");
        }
        let node = config("127.0.0.1:7101");
        let error = node.bulk_advertised("[::1]:7102".parse().unwrap(), V6, advertised);
        assert!(error.is_ok(), "streams have an IP of their own: {error:?}");
        let mut node = config("[::1]:7101");
        node.bulk_advertise = Some(advertised);
        let error = node.bulk_advertised("[::1]:7102".parse().unwrap(), V6, advertised).unwrap_err();
        assert!(matches!(error, StartError::Family { .. }), "{error}");
    }

    #[test]
    fn names_and_timing_are_checked() {
        let mut node = config("127.0.0.1:0");
        node.name = "x".repeat(NAME_BYTES_MAX + 1);
        assert!(matches!(node.check(), Err(StartError::Name { .. })));
        node.name = "a\nb".into();
        assert!(matches!(node.check(), Err(StartError::Name { .. })));
        node.name = "x".repeat(NAME_BYTES_MAX);
        assert!(node.check().is_ok());
        node.failure_timeout = node.gossip_interval;
        assert!(matches!(node.check(), Err(StartError::Timing { .. })));
    }
}
