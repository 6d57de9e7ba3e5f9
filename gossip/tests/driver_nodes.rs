//! Nodes on real sockets: they find each other, replicate, wait, leave, die and come back.
mod driver_cluster;

use std::time::{Duration, Instant};

use cahoots_gossip::ReplicaId;
use cahoots_gossip::driver::{BrokenPath, HandOver, MemberState, Node, PeerRefusal, StartError};
use driver_cluster::*;

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_find_each_other_and_converge() {
    let nodes = cluster(3).await;
    for (n, node) in nodes.iter().enumerate() {
        set(node, &format!("from {n}"), "here");
    }
    for node in &nodes {
        for n in 0..nodes.len() {
            reads(node, &format!("from {n}"), "here").await;
        }
    }
    let members = nodes[2].members();
    assert!(members[0].is_self && members[0].name == "n2" && members[0].id == nodes[2].id(), "{members:?}");
    assert_eq!(members.iter().find(|member| member.name == "n0").unwrap().addr, nodes[0].local_addr());
}

#[tokio::test(flavor = "multi_thread")]
async fn ipv6_and_several_seeds_of_which_some_are_down_or_ourselves_work() {
    let mut first = config("a", &[]);
    first.listen = "[::1]:0".parse().unwrap();
    let a = start(first).await;
    let gone = start(config("gone", &[])).await;
    let dead_seed = gone.local_addr().to_string();
    drop(gone);
    let mut second = config("b", &[&a]);
    second.listen = "[::1]:0".parse().unwrap();
    second.seeds.insert(0, dead_seed);
    second.seeds.push(format!("localhost:{}", a.local_addr().port()));
    let b = start(second).await;
    has_peers(&b, 1).await;
    set(&a, "key", "over six");
    reads(&b, "key", "over six").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clusters_of_other_names_or_keys_on_one_network_ignore_each_other() {
    let a = start(config("a", &[])).await;
    let mut foreign = config("b", &[&a]);
    foreign.replica.cluster = "another".into();
    let foreign = start(foreign).await;
    let mut keyed = config("c", &[&a]);
    keyed.replica.key = Some(cahoots_gossip::wire::ClusterKey::new([7; 32]));
    let keyed = start(keyed).await;
    // A member of their own cluster for each: once those have met and replicated, the rest has had its chance.
    let mut with_foreign = config("d", &[&a, &foreign]);
    with_foreign.replica.cluster = "another".into();
    let with_foreign = start(with_foreign).await;
    let mut with_keyed = config("e", &[&a, &keyed]);
    with_keyed.replica.key = Some(cahoots_gossip::wire::ClusterKey::new([7; 32]));
    let with_keyed = start(with_keyed).await;
    let with_plain = start(config("f", &[&a])).await;
    set(&a, "key", "plain");
    set(&foreign, "key", "foreign");
    set(&keyed, "key", "keyed");
    reads(&with_plain, "key", "plain").await;
    reads(&with_foreign, "key", "foreign").await;
    reads(&with_keyed, "key", "keyed").await;
    for node in [&a, &foreign, &keyed, &with_foreign, &with_keyed, &with_plain] {
        // Who is a peer is told a moment after the engine knows it.
        within("the one other member", node.members_when(|members| members.len() == 2)).await;
    }
    assert!(a.counters().datagrams_refused > 0, "the others called on this node, and were refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_returns_who_has_applied_and_gives_up_in_time() {
    let nodes = cluster(3).await;
    let position = set(&nodes[0], "key", "value");
    assert_eq!(within("both peers", nodes[0].wait(position, 2, None)).await, 2);
    assert_eq!(get(&nodes[1], "key").as_deref(), Some("value"), "an acknowledged event is applied");
    assert_eq!(nodes[0].wait(position, 1, Some(BOUND)).await, 2, "what is there already is returned at once");

    let asked = Instant::now();
    let patience = Duration::from_millis(100);
    assert_eq!(within("giving up", nodes[0].wait(position, 3, Some(patience))).await, 2);
    assert!(asked.elapsed() >= patience);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_callers_wait_at_once_and_all_are_answered() {
    let nodes = cluster(3).await;
    let mut waiting = tokio::task::JoinSet::new();
    for n in 0..1000 {
        let node = nodes[0].clone();
        waiting.spawn(async move {
            let position = set(&node, &format!("key {n}"), "value");
            node.wait(position, 2, Some(BOUND)).await
        });
    }
    let answers = within("all answers", waiting.join_all()).await;
    assert!(answers.iter().all(|count| *count == 2), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_node_goes_down_and_its_name_comes_back_under_another_id() {
    let mut nodes = cluster(3).await;
    let killed = nodes.pop().unwrap();
    let former = killed.id();
    drop(killed);
    for node in &nodes {
        sees(node, "n2", MemberState::Down).await;
    }
    set(&nodes[0], "key", "written meanwhile");
    let back = start(config("n2", &[&nodes[1]])).await;
    assert_ne!(back.id(), former);
    reads(&back, "key", "written meanwhile").await;
    for node in &nodes {
        sees(node, "n2", MemberState::Live).await;
        // It was elsewhere, and may be alive there behind a cut.
        let members = node.members();
        let old = members.iter().find(|member| member.id == former).map(|member| &member.state);
        assert_eq!(old, Some(&MemberState::Down), "the old incarnation is remembered: {members:?}");
    }
    set(&back, "key", "from the new one");
    reads(&nodes[0], "key", "from the new one").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_heals_when_everybody_was_thought_dead_and_only_the_dead_know_where_the_others_are() {
    // The seed restarts on its port, without seeds of its own: the other must call on it.
    let a = start(config("a", &[])).await;
    let port = a.local_addr();
    let b = start(config("b", &[&a])).await;
    has_peers(&a, 1).await;
    has_peers(&b, 1).await;
    drop(a);
    sees(&b, "a", MemberState::Down).await;
    let mut again = config("a", &[]);
    again.listen = port;
    let a = restart(again).await;
    has_peers(&a, 1).await;
    set(&b, "key", "healed");
    reads(&a, "key", "healed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_hands_everything_over_says_farewell_and_frees_the_port() {
    let mut nodes = cluster(3).await;
    let leaver = nodes.pop().unwrap();
    let address = leaver.local_addr();
    for n in 0..100 {
        set(&leaver, &format!("key {n}"), "kept");
    }
    let drained = within("the shutdown", leaver.shutdown(BOUND)).await;
    assert!(drained.handed_over && drained.complete_at >= 1, "{drained:?}");
    assert_eq!(leaver.shutdown(BOUND).await, drained, "the second call returns what the first achieved");
    let _free = std::net::UdpSocket::bind(address).expect("the port is free when shutdown returns");
    for node in &nodes {
        for n in 0..100 {
            reads(node, &format!("key {n}"), "kept").await;
        }
        // Gone, not down: it does not count as missing.
        let without = |members: &[_]| members.len() == 2 && live_peers(members) == 1;
        within("the farewell", node.members_when(without)).await;
    }
}

/// Whoever stops at the same time must not hand over to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_is_not_relied_on_from_when_it_begins_to_hand_over() {
    let nodes = cluster(2).await;
    set(&nodes[1], "key", "kept");
    // It will not find so many, and waits for them.
    let stops = nodes[1].shutdown_after(HandOver { replicas: 2, bound: Duration::from_secs(600), on_disk: false });
    let told = nodes[0].members_when(|members| members.len() == 2 && members.iter().any(|it| !it.is_self && !it.ready));
    tokio::select! {
        _ = within("the announcement", told) => {}
        drained = stops => panic!("{drained:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_that_finds_nobody_says_so_and_keeps_to_its_bound() {
    let nodes = cluster(2).await;
    let lonely = &nodes[0];
    let never = lonely.wait(u64::MAX, 1, None);
    let alone = start(config("alone", &[])).await;
    assert!(alone.shutdown(BOUND).await.handed_over, "a node that wrote nothing has nothing to hand over");
    let alone = start(config("alone", &[])).await;
    set(&alone, "key", "lost");
    assert!(!within("a shutdown with nobody to wait for", alone.shutdown(BOUND * 2)).await.handed_over);
    let gone = start(config("gone", &[])).await;
    let hopeful = start(config("hopeful", &[&gone])).await;
    drop(gone);
    set(&hopeful, "key", "lost");
    let (asked, bound) = (Instant::now(), Duration::from_millis(50));
    assert!(!within("a shutdown with its seed dead", hopeful.shutdown(bound)).await.handed_over);
    assert!(asked.elapsed() >= bound);

    let (answer, _) = tokio::join!(within("dismissal", never), lonely.shutdown(Duration::from_millis(50)));
    assert_eq!(answer, 0, "whoever waits for the impossible is answered when the node stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_counted_and_dropped_and_harms_nobody() {
    let nodes = cluster(2).await;
    let [target, peer] = &nodes[..] else { unreachable!() };
    let before = target.counters();
    let attacker = std::net::UdpSocket::bind(loopback()).unwrap();
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    for len in (0..1500).step_by(7) {
        let bytes: Vec<u8> = std::iter::repeat_with(|| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            random.to_be_bytes()[0]
        })
        .take(len)
        .collect();
        attacker.send_to(&bytes, target.local_addr()).unwrap();
    }
    let sent = (0..1500).step_by(7).count() as u64;
    // One socket, one queue: once this has arrived, so has the garbage before it.
    set(peer, "key", "still there");
    reads(target, "key", "still there").await;
    assert_eq!(target.counters().datagrams_refused - before.datagrams_refused, sent);
    assert_eq!(live_peers(&target.members()), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn honest_envelopes_with_rotten_membership_inside_are_counted_and_dropped() {
    let nodes = cluster(2).await;
    let [target, peer] = &nodes[..] else { unreachable!() };
    let attacker = std::net::UdpSocket::bind(loopback()).unwrap();
    for rotten in [&b""[..], b"junk", &[0x53, 0xb0, 0, 2, 1, 255, 255], &[0x53, 0xb0, 9, 0, 0, 0, 0, 0]] {
        let sealed = peer.with(|replica, _| replica.seal_membership(rotten));
        attacker.send_to(&sealed, target.local_addr()).unwrap();
    }
    // Membership messages queue behind each other: when the peer's next one counts, these have been looked at.
    let three = start(config("three", &[target])).await;
    has_peers(&three, 2).await;
    counts(target, "what was rotten", |it| it.membership_malformed >= 4).await;
    assert_eq!(target.counters().membership_malformed, 4);
    assert_eq!(target.counters().membership_restarts, 0);
}

/// What chitchat puts into an ACK: what it claims to have heard of `member`.
fn hostile_ack(member: &cahoots_gossip::driver::Member) -> Vec<u8> {
    let mut delta = vec![0]; // the node
    delta.extend(u16::try_from(member.name.len()).unwrap().to_le_bytes());
    delta.extend(member.name.as_bytes());
    delta.extend(member.incarnation.to_le_bytes());
    let std::net::IpAddr::V4(ip) = member.addr.ip() else { panic!("these tests listen on IPv4") };
    delta.push(4);
    delta.extend(ip.octets());
    delta.extend(member.addr.port().to_le_bytes());
    delta.extend([0; 16]); // nothing collected, from version 0 on
    delta.extend([1, 1, 0, b'k', 1, 0, b'v']); // k = v
    delta.extend(1000_u64.to_le_bytes()); // as of version 1000
    delta.push(0); // not deleted
    delta.push(2); // and yet
    delta.extend(500_u64.to_le_bytes()); // there is no version above 500
    let mut ack = vec![0x53, 0xb0, 0, 2];
    ack.push(2); // one block, not compressed
    ack.extend(u16::try_from(delta.len()).unwrap().to_le_bytes());
    ack.extend(delta);
    ack.push(0);
    ack
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_makes_chitchat_panic_costs_a_restart_of_membership_and_nothing_else() {
    let nodes = cluster(2).await;
    let [target, peer] = &nodes[..] else { unreachable!() };
    let victim = target.members().into_iter().find(|member| !member.is_self).unwrap();
    let sealed = peer.with(|replica, _| replica.seal_membership(&hostile_ack(&victim)));
    std::net::UdpSocket::bind(loopback()).unwrap().send_to(&sealed, target.local_addr()).unwrap();
    let incarnation = target.members()[0].incarnation;
    let newer = |members: &[cahoots_gossip::driver::Member]| members[0].incarnation > incarnation;
    within("a new incarnation", target.members_when(newer)).await;
    assert_eq!(target.counters().membership_restarts, 1);
    let again = |members: &[cahoots_gossip::driver::Member]| {
        members.iter().any(|member| member.name == "n0" && member.incarnation > incarnation && live_peers(members) == 1)
    };
    within("the peer to see the new incarnation", peer.members_when(again)).await;
    has_peers(target, 1).await;
    set(target, "key", "after the restart");
    reads(peer, "key", "after the restart").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_on_all_ipv6_addresses_that_announces_an_ipv4_one_has_ipv4_peers() {
    let mut both = config("both", &[]);
    both.listen = "[::]:0".parse().unwrap();
    both.advertise = Some(loopback());
    both.insecure = true;
    let both = start(both).await;
    let mut four = config("four", &[]);
    four.seeds = vec![format!("127.0.0.1:{}", both.local_addr().port())];
    let four = start(four).await;
    has_peers(&both, 1).await;
    has_peers(&four, 1).await;
    set(&four, "to both", "1");
    set(&both, "to four", "2");
    reads(&both, "to both", "1").await;
    reads(&four, "to four", "2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_with_our_id_and_a_member_with_other_limits_are_refused_visibly() {
    let a = start(config("a", &[])).await;
    let mut clone = config("clone", &[&a]);
    clone.id = Some(a.id());
    let clone = start(clone).await;
    let mut strict = config("strict", &[&a]);
    strict.replica.limits.value_bytes_max = 1;
    let strict = start(strict).await;
    sees(&a, "clone", MemberState::Refused(PeerRefusal::OwnId)).await;
    let refused = a.members_when(|members| {
        members.iter().any(|member| {
            member.name == "strict" && matches!(member.state, MemberState::Refused(PeerRefusal::Limits { .. }))
        })
    });
    within("the refusal of other limits", refused).await;
    assert_eq!(live_peers(&a.members()), 0);
    counts(&a, "a refusal", |it| it.members_refused >= 1).await;
    drop((clone, strict));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_live_nodes_of_one_name_are_peers_of_all_and_all_tell_of_it() {
    let watcher = start(config("watcher", &[])).await;
    let first = start(config("twin", &[&watcher])).await;
    has_peers(&watcher, 1).await;
    let second = start(config("twin", &[&watcher])).await;
    let nodes = [&watcher, &first, &second];
    for node in nodes {
        has_peers(node, 2).await;
        node.counter("writes").add(1).unwrap();
    }
    for node in nodes {
        counts(node, "the shared name", |it| it.names_shared == 1).await;
        let twins = |members: &[cahoots_gossip::driver::Member]| {
            members.iter().filter(|member| member.name == "twin" && member.namesakes.len() == 1).count() == 2
        };
        let members = within("who shares the name", node.members_when(twins)).await;
        let of = |id| members.iter().find(|member| member.id == id).unwrap().namesakes.clone();
        assert_eq!((of(first.id()), of(second.id())), (vec![second.id()], vec![first.id()]));
        assert_eq!(of(watcher.id()), []);
        assert_eq!(within("both acknowledge", node.wait_for(2, None)).await, 2);
        assert_eq!(node.counter("writes").value(), Ok(3));
    }
    second.shutdown(BOUND).await;
    let alone = |members: &[cahoots_gossip::driver::Member]| members.iter().all(|member| member.namesakes.is_empty());
    within("the name is one member's again", first.members_when(alone)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_announces_an_address_where_nobody_is_is_unreachable_until_somebody_is() {
    let nodes = cluster(2).await;
    let reserved = std::net::UdpSocket::bind(loopback()).unwrap();
    let mut lost = config("lost", &[&nodes[0]]);
    lost.advertise = Some(reserved.local_addr().unwrap());
    // It is the address of a socket that passes on nothing, at first.
    let lost = start(lost).await;
    let unreachable = |path| MemberState::Unreachable(path);
    for node in &nodes {
        sees(node, "lost", unreachable(BrokenPath::ToIt)).await;
        counts(node, "an unreachable member", |it| it.members_unreachable >= 1).await;
        assert_eq!(live_peers(&node.members()), 1);
        sees(&lost, &node.members()[0].name, unreachable(BrokenPath::FromIt)).await;
    }
    let position = set(&nodes[0], "key", "value");
    assert_eq!(within("the one that is reached", nodes[0].wait(position, 1, None)).await, 1);
    assert_eq!(nodes[0].with(|replica, _| replica.status()).peers.len(), 1);

    let (forward, to) = (reserved.try_clone().unwrap(), lost.local_addr());
    let passing = tokio::task::spawn_blocking(move || {
        let mut datagram = [0; 1 << 16];
        while let Ok((length, _)) = forward.recv_from(&mut datagram)
            && length > 0
        {
            forward.send_to(&datagram[..length], to).unwrap();
        }
    });
    for node in nodes.iter().chain([&lost]) {
        has_peers(node, 2).await;
        reads(node, "key", "value").await;
    }
    // An empty datagram ends the passing on.
    reserved.send_to(&[], reserved.local_addr().unwrap()).unwrap();
    within("the end of the passing on", passing).await.unwrap();
    sees(&nodes[1], "lost", unreachable(BrokenPath::ToIt)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_and_a_given_id_are_announced() {
    let a = start(config("a", &[])).await;
    let mut b = config("b", &[&a]);
    b.id = Some(ReplicaId::new(0xB0B));
    b.zone = Some("west".into());
    let b = start(b).await;
    assert_eq!(b.id(), ReplicaId::new(0xB0B));
    b.announce_ready(false).await;
    let unready = a.members_when(|members| members.iter().any(|member| member.name == "b" && !member.ready));
    let members = within("readiness", unready).await;
    let b = members.iter().find(|member| member.name == "b").unwrap();
    assert_eq!((b.id, b.zone.as_deref()), (ReplicaId::new(0xB0B), Some("west")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_named_in_the_error() {
    let a = start(config("a", &[])).await;
    let mut same = config("b", &[]);
    same.listen = a.local_addr();
    let error = Node::start(same).await.unwrap_err();
    assert!(matches!(error, StartError::AddressInUse { .. }), "{error:?}");
    assert!(error.to_string().contains(&a.local_addr().to_string()), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_both_sides_reach_a_subscriber() {
    let nodes = cluster(2).await;
    let mut changes = nodes[0].subscribe();
    set(&nodes[0], "local", "1");
    set(&nodes[1], "remote", "1");
    let mut keys = std::collections::BTreeSet::new();
    while keys.len() < 2 {
        match within("a change", changes.next()).await {
            Some(cahoots_gossip::store::Change::Key { key, .. }) => keys.insert(key.to_vec()),
            other => panic!("{other:?}"),
        };
    }
    assert!(keys.contains(&b"local"[..]) && keys.contains(&b"remote"[..]));
    nodes[0].shutdown(BOUND).await;
    assert!(within("the end", changes.next()).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_as_soon_as_others_know_it_is_forgotten_although_it_may_know_nobody_yet() {
    let a = start(config("a", &[])).await;
    for round in 0..5 {
        let name = format!("passer-by {round}");
        let b = start(config(&name, &[&a])).await;
        sees(&a, &name, MemberState::Live).await;
        b.shutdown(Duration::from_secs(1)).await;
        within("the farewell", a.members_when(|members| members.len() == 1)).await;
    }
}
