//! The typed handles of nodes on real sockets: what they read and write, and what watchers of votes and presence see.
mod driver_cluster;

use std::collections::BTreeSet;
use std::time::Duration;

use cahoots_gossip::driver::{AccessError, MemberState, Node};
use cahoots_gossip::store::{By, Change, Class, What, WriteError};
use driver_cluster::*;

/// Waits until something holds at a node, which looks again whenever the key has changed.
async fn shows(what: &str, node: &Node, key: &str, mut holds: impl FnMut(&Node) -> bool) {
    let mut changes = node.subscribe().of(key);
    let shown = async {
        while !holds(node) {
            changes.next().await.expect("the node runs");
        }
    };
    within(what, shown).await;
}

#[tokio::test]
async fn what_does_not_exist_reads_as_zero_and_reading_creates_nothing() {
    let node = start(config("a", &[])).await;
    assert_eq!(node.counter("k").value(), Ok(0));
    assert_eq!(node.register("k").get(), Ok(None));
    assert_eq!(
        (node.set("k").len(), node.set("k").contains("x"), node.set("k").remove("x")),
        (Ok(0), Ok(false), Ok(false))
    );
    assert_eq!(
        (node.map("k").get("f"), node.map("k").entries(), node.map("k").remove("f")),
        (Ok(None), Ok(vec![]), Ok(false))
    );
    assert_eq!(node.vote("k").tally().expect("no type yet").silent.len(), 1);
    assert_eq!(
        (node.vote("k").withdraw(), node.presence("k").count(), node.delete("k")),
        (Ok(false), Ok(0), Ok(false))
    );
    assert_eq!(node.read(|replica| (replica.store().len(), replica.position())), (0, 0));
}

#[tokio::test]
async fn a_key_of_another_type_is_an_error_and_stays_what_it_is() {
    let node = start(config("a", &[])).await;
    node.set("k").insert("member").expect("a new set");
    let wrong = |wanted| AccessError::WrongType { wanted, found: Class::Set };
    assert_eq!(node.counter("k").add(1), Err(wrong(Class::Text)));
    assert_eq!(node.counter("k").value(), Err(wrong(Class::Text)));
    assert_eq!(node.register("k").set("x"), Err(wrong(Class::Text)));
    assert_eq!(node.map("k").set("f", "x"), Err(wrong(Class::Hash)));
    assert_eq!(node.map("k").len(), Err(wrong(Class::Hash)));
    assert_eq!(node.vote("k").cast("x"), Err(wrong(Class::Vote)));
    assert_eq!(node.vote("k").tally(), Err(wrong(Class::Vote)));
    assert_eq!(node.presence("k").join().map(drop), Err(wrong(Class::Presence)));
    assert_eq!(node.set("k").members(), Ok(vec![b"member".to_vec()]));
    node.register("text").set("no number").expect("a new text");
    assert_eq!(node.counter("text").add(1), Err(AccessError::Write(WriteError::NotInteger)));
    assert!(node.counter("text").value().is_err());
    assert_eq!(
        node.vote("v").cast([0; 1025]),
        Err(AccessError::Write(WriteError::ValueTooLong { bytes: 1025, max: 1024 }))
    );
    let long = vec![b'k'; (64 << 10) + 1];
    assert!(matches!(node.counter(&long).add(1), Err(AccessError::Write(WriteError::NameTooLong { .. }))));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_handles_write_at_one_node_handles_read_at_another() {
    let nodes = cluster(2).await;
    let [a, b] = &nodes[..] else { unreachable!() };
    a.counter("hits").add(40).expect("a number");
    b.counter("hits").add(2).expect("a number");
    a.register("motto").set("x").expect("a text");
    a.set("cart").insert("milk").expect("a set");
    a.map("user").set("name", "Ada").expect("a map");
    a.map("user").add("visits", 3).expect("a number");
    assert_eq!(within("both", a.wait_for(1, Some(BOUND))).await, 1);
    assert_eq!(b.register("motto").get(), Ok(Some(b"x".to_vec())));
    assert_eq!(b.register("motto").with(|value| value.map_or(0, <[u8]>::len)), Ok(1));
    assert_eq!(b.set("cart").members(), Ok(vec![b"milk".to_vec()]));
    let entries: BTreeSet<_> = b.map("user").entries().expect("a map").into_iter().collect();
    let expected = [("name", "Ada"), ("visits", "3")].map(|(field, value)| (field.into(), value.into()));
    assert_eq!(entries, expected.into());
    shows("the sum", a, "hits", |a| a.counter("hits").value() == Ok(42)).await;
    assert_eq!(b.delete("cart"), Ok(true));
    shows("the deletion", a, "cart", |a| a.set("cart").is_empty() == Ok(true)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_one_change_and_reads_its_own_writes() {
    let nodes = cluster(2).await;
    let before = nodes[0].read(|replica| replica.position());
    let sum = nodes[0].group(|group| {
        group.register("a").set("1")?;
        group.set("b").insert("x")?;
        group.vote("c").cast("yes")?;
        assert!(group.set("b").contains("x")? && group.register("a").get()?.is_some());
        group.delete("nothing")?;
        group.counter("a").add(1)
    });
    assert_eq!(sum, Ok(2));
    assert_eq!(nodes[0].read(|replica| replica.position()), before + 1);
    shows("the group", &nodes[1], "c", |b| b.vote("c").tally().is_ok_and(|tally| tally.votes_for("yes") == 1)).await;
    assert_eq!((nodes[1].counter("a").value(), nodes[1].set("b").len()), (Ok(2), Ok(1)));
}

/// Scenario 12.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_ballot_replaces_the_first_and_one_of_the_dead_or_departed_stops_counting_and_watchers_are_told() {
    let mut nodes = cluster(3).await;
    let leader = |node: &Node| node.vote("leader").tally().expect("a vote");
    for (node, ballot) in nodes.iter().zip(["x", "x", "y"]) {
        node.vote("leader").cast(ballot).expect("a ballot");
    }
    nodes[1].vote("leader").cast("y").expect("another ballot");
    shows("all ballots", &nodes[0], "leader", |node| {
        let tally = leader(node);
        (tally.votes_for("x"), tally.votes_for("y"), tally.silent.len()) == (1, 2, 0)
    })
    .await;

    let written = nodes[0].read(|replica| replica.store().version_vector().clone());
    let mut changes = nodes[0].subscribe();
    let (key, class) = (b"leader".as_slice().into(), Class::Vote);
    let told = Change::Key { key, class, what: What::Changed, by: By::Membership };
    drop(nodes.pop()); // dead, without a word
    assert_eq!(within("being told", changes.next()).await, Some(told.clone()));
    assert_eq!((leader(&nodes[0]).votes_for("y"), leader(&nodes[0]).electorate()), (1, 2));
    assert_eq!(nodes[0].read(|replica| replica.store().version_vector().clone()), written, "nothing was written");
    sees(&nodes[0], "n2", MemberState::Down).await;

    // One that leaves is no member any more, at once.
    nodes[1].shutdown(BOUND).await;
    assert_eq!(within("being told", changes.next()).await, Some(told.clone()));
    let tally = leader(&nodes[0]);
    assert_eq!((tally.votes_for("x"), tally.votes_for("y"), tally.electorate()), (1, 0, 1));
    within("the farewell", nodes[0].members_when(|members| members.iter().all(|member| member.name != "n1"))).await;
    assert!(nodes[0].members().iter().any(|member| member.name == "n2" && member.state == MemberState::Down));
}

/// Scenario 13.
#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_sees_presence_rise_and_fall_and_a_killed_node_takes_its_own_along() {
    let mut nodes = cluster(3).await;
    let watcher = nodes[0].clone();
    let room = watcher.presence("room");
    let mut changes = watcher.subscribe().of("room");
    let mut seen = vec![room.count().expect("a presence")];
    let mut until = async |count: u64| {
        let counted = async {
            while *seen.last().expect("it has begun") != count {
                changes.next().await.expect("the node runs");
                let now = room.count().expect("a presence");
                seen.extend(Some(now).filter(|now| Some(now) != seen.last()));
            }
        };
        within("the count", counted).await;
        seen.clone()
    };
    let first = nodes[1].presence("room").join().expect("the first");
    until(1).await;
    let second = nodes[2].presence("room").join().expect("the second");
    until(2).await;
    drop(first);
    until(1).await;
    drop(second);
    assert_eq!(until(0).await, [0, 1, 2, 1, 0]);
    assert!(watcher.read(|replica| replica.store().is_empty()), "the last one takes the key along");

    let (_one, _two) = (nodes[2].presence("room").join(), nodes[2].presence("room").join());
    let _three = nodes[1].presence("room").join();
    until(3).await;
    drop(nodes.pop()); // two of the three were there
    until(1).await;
    let again = watcher.read(|replica| replica.store().ballots().count());
    assert_eq!(again, 2, "the ballot of the dead one stays until it is gone for good, and does not count");
}

#[tokio::test(flavor = "multi_thread")]
async fn ballots_of_an_incarnation_that_was_replaced_or_left_are_cleared_away() {
    let mut nodes = cluster(3).await;
    for node in &nodes {
        node.vote("leader").cast("x").expect("a ballot");
    }
    shows("all ballots", &nodes[0], "leader", |node| node.read(|replica| replica.store().ballots().count()) == 3).await;
    let replaced = nodes.pop().expect("the third");
    let mut again = config("n2", &[&nodes[0]]);
    // In its place: elsewhere the old one might be alive still.
    again.listen = replaced.local_addr();
    drop(replaced);
    let back = restart(again).await;
    shows("the clearing", &nodes[0], "leader", |node| node.read(|replica| replica.store().ballots().count()) == 2)
        .await;
    shows("the clearing", &back, "leader", |node| node.read(|replica| replica.store().ballots().count()) == 2).await;
    nodes[1].shutdown(BOUND).await;
    shows("the clearing", &back, "leader", |node| node.read(|replica| replica.store().ballots().count()) == 1).await;
    assert_eq!(back.vote("leader").tally().expect("a vote").votes_for("x"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn presence_that_someone_deletes_comes_back_as_long_as_its_guards_are_held() {
    let nodes = cluster(2).await;
    let guard = nodes[0].presence("room").join().expect("somebody");
    shows("the guest", &nodes[1], "room", |node| node.presence("room").count() == Ok(1)).await;
    assert_eq!(nodes[1].delete("room"), Ok(true));
    shows("the guest again", &nodes[1], "room", |node| node.presence("room").count() == Ok(1)).await;
    drop(guard);
    shows("the leaving", &nodes[1], "room", |node| node.presence("room").count() == Ok(0)).await;
}

#[tokio::test]
async fn a_guard_does_not_keep_its_node_running() {
    let node = start(config("a", &[])).await;
    let address = node.local_addr();
    let guard = node.presence("room").join().expect("somebody");
    drop(node);
    let free = async {
        while std::net::UdpSocket::bind(address).is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within("the port", free).await;
    drop(guard);
}
