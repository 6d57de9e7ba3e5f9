//! Who is who: disks that were complete, disks that were behind, disks that lied, and copies of disks.

use cahoots_gossip::ReplicaId;
use cahoots_gossip::engine::ReplicaConfig;
use cahoots_tests::client::{Reply, Request};
use cahoots_tests::commands::Commands;
use cahoots_tests::exchange::Tale;
use cahoots_tests::oracle::{Action, Shown};
use cahoots_tests::sim::{Start, World};

const SECOND: u64 = 1_000_000;

/// So many replicas that know each other.
fn cluster(hosts: usize) -> World {
    let mut world = World::new(hosts as u64, hosts, ReplicaConfig::default());
    world.detector().delay = (1_000, 50_000);
    for host in 0..hosts {
        world.start(host);
    }
    world.advance(2 * SECOND);
    world
}

fn run(world: &mut World, host: usize, key: &str, action: Action) {
    assert_eq!(world.write(host, &[Request(key.into(), action)]), [Reply::Done]);
}

fn everywhere(world: &World, key: &str, expected: &Shown) {
    for host in world.alive() {
        assert_eq!(world.shown(host, key), *expected, "{key} at host {host}");
    }
}

fn id(world: &World, host: usize) -> ReplicaId {
    world.process(host).engine.id()
}

#[test]
fn a_process_whose_disk_holds_all_it_told_goes_on_under_its_id() {
    let mut world = cluster(3);
    for round in 0..10 {
        run(&mut world, 0, "count", Action::Add(1));
        world.advance(SECOND);
        world.sync(0);
        let before = id(&world, 0);
        world.crash(0);
        assert_eq!(world.resume(0, Start::Honest), before);
        run(&mut world, 0, "count", Action::Add(1));
        run(&mut world, 1, "other", Action::Add(1));
        world.advance(SECOND * (round % 3));
    }
    world.heal(&[]);
    everywhere(&world, "count", &Shown::text("20"));
    assert_eq!(world.status(2).version_vector.len(), 2, "ten restarts, and one id each for the two that wrote");
}

/// Of its own accord it writes nothing. What has expired is hidden all the same.
#[test]
fn one_alone_whose_id_is_in_doubt_keeps_what_has_expired_until_a_peer_has_spoken() {
    let mut world = World::new(2, 2, ReplicaConfig::default());
    world.start(0);
    world.sync(0);
    world.crash(0);
    world.resume(0, Start::Honest);
    run(&mut world, 0, "k", Action::Set("brief".into()));
    run(&mut world, 0, "k", Action::EndIn(20));
    let is_kept = |world: &World| world.process(0).engine.store().memory_of(b"k").is_some();
    world.heal(&[1]);
    assert_eq!(world.shown(0, "k"), Shown::Nothing);
    assert!(is_kept(&world) && world.process(0).engine.on_probation());
    world.start(1);
    world.heal(&[]);
    assert!(!is_kept(&world), "it is removed");
}

#[test]
fn what_was_only_in_the_window_is_lost_with_the_process_and_its_dot_is_used_again() {
    let mut world = cluster(2);
    run(&mut world, 0, "k", Action::Set("kept".into()));
    world.sync(0);
    let before = id(&world, 0);
    run(&mut world, 0, "k", Action::Set("lost".into())); // so soon after the last event, the window stays open
    world.crash(0);
    assert_eq!(world.resume(0, Start::Honest), before);
    assert_eq!(world.shown(0, "k"), Shown::text("kept"));
    run(&mut world, 0, "l", Action::Set("new".into()));
    world.heal(&[]);
    everywhere(&world, "k", &Shown::text("kept"));
    everywhere(&world, "l", &Shown::text("new"));
}

#[test]
fn a_process_whose_disk_is_behind_keeps_the_data_under_a_new_id_and_fetches_the_rest() {
    let mut world = cluster(3);
    run(&mut world, 0, "count", Action::Add(5));
    run(&mut world, 0, "old", Action::Set("1".into()));
    world.advance(SECOND);
    world.sync(0);
    run(&mut world, 0, "count", Action::Add(7)); // told to the others, not on the disk
    world.advance(SECOND);
    let before = id(&world, 0);
    world.crash(0);
    assert_ne!(world.resume(0, Start::Honest), before);
    assert_eq!(world.shown(0, "count"), Shown::text("5"), "what is on the disk is served at once");
    run(&mut world, 0, "count", Action::Add(1));
    world.heal(&[]);
    everywhere(&world, "count", &Shown::text("13"));
    everywhere(&world, "old", &Shown::text("1"));
}

#[test]
fn what_a_disk_alone_still_has_outlives_the_rest_of_the_cluster() {
    let mut world = cluster(2);
    run(&mut world, 0, "k", Action::Set("1".into()));
    world.advance(SECOND);
    world.sync(0);
    run(&mut world, 1, "later", Action::Set("gone".into()));
    world.advance(SECOND);
    world.crash(0);
    world.crash(1);
    world.resume(0, Start::Honest);
    world.start(1);
    world.heal(&[]);
    everywhere(&world, "k", &Shown::text("1"));
}

#[test]
fn a_disk_that_lied_is_found_out_by_what_the_peers_know_and_nothing_is_lost() {
    let mut world = cluster(3);
    run(&mut world, 0, "count", Action::Add(5));
    world.advance(SECOND);
    world.sync(0);
    for _ in 0..4 {
        run(&mut world, 0, "count", Action::Add(1));
        run(&mut world, 0, "set", Action::AddMember("after".into()));
        world.advance(SECOND / 10);
    }
    let before = id(&world, 0);
    world.crash(0);
    assert_eq!(world.resume(0, Start::Lying), before);
    // Before anybody is heard of, it writes under the old id: dots that name other events at the others.
    run(&mut world, 0, "count", Action::Add(100));
    world.advance(100);
    run(&mut world, 0, "set", Action::AddMember("new".into()));
    world.advance(100);
    world.advance(SECOND);
    assert!(world.has_noticed(0));
    assert_ne!(id(&world, 0), before, "another id was taken");
    world.heal(&[]);
    everywhere(&world, "count", &Shown::text("109"));
    everywhere(&world, "set", &Shown::set(["after", "new"]));
}

#[test]
fn a_reset_made_in_doubt_takes_what_it_saw_and_spares_what_the_disk_had_forgotten() {
    let mut world = cluster(2);
    run(&mut world, 0, "k", Action::Add(10));
    world.advance(SECOND);
    world.sync(0);
    run(&mut world, 0, "k", Action::Add(5)); // in the same slot, and not on the disk
    world.advance(SECOND);
    world.crash(0);
    world.resume(0, Start::Lying);
    assert_eq!(world.shown(0, "k"), Shown::text("10"));
    run(&mut world, 0, "k", Action::Delete);
    world.heal(&[]);
    everywhere(&world, "k", &Shown::text("5"));
}

#[test]
fn a_disk_that_lied_is_found_out_although_as_much_was_written_anew() {
    // The version vectors say nothing then: only who compares what the dots name can know.
    let mut world = cluster(3);
    world.sync(0);
    for number in 0..3 {
        run(&mut world, 0, &format!("old{number}"), Action::Set("1".into()));
        world.advance(SECOND / 10);
    }
    let before = id(&world, 0);
    world.crash(0);
    world.split(&[0]);
    world.resume(0, Start::Lying);
    for number in 0..3 {
        run(&mut world, 0, &format!("new{number}"), Action::Set("2".into()));
        run(&mut world, 0, "count", Action::Add(1));
        world.advance(SECOND / 10);
    }
    world.heal(&[]);
    assert!(world.has_noticed(0));
    assert_ne!(id(&world, 0), before);
    for number in 0..3 {
        everywhere(&world, &format!("old{number}"), &Shown::text("1"));
        everywhere(&world, &format!("new{number}"), &Shown::text("2"));
    }
    everywhere(&world, "count", &Shown::text("3"));
}

#[test]
fn a_copy_of_a_disk_beside_the_original_is_seen_by_membership_and_the_younger_takes_another_id() {
    let mut world = cluster(2);
    run(&mut world, 0, "k", Action::Set("1".into()));
    world.advance(SECOND);
    world.sync(0);
    world.crash(1);
    world.copy_disk(0, 1);
    let original = id(&world, 0);
    assert_eq!(world.resume(1, Start::Honest), original, "the copy looks like a good disk");
    world.advance(SECOND);
    assert_eq!(id(&world, 0), original, "the elder keeps the id");
    assert_ne!(id(&world, 1), original);
    assert!(world.tally().duplicates_seen > 0);
    run(&mut world, 0, "count", Action::Add(1));
    run(&mut world, 1, "count", Action::Add(1));
    world.heal(&[]);
    everywhere(&world, "k", &Shown::text("1"));
    everywhere(&world, "count", &Shown::text("2"));
}

#[test]
fn two_copies_that_cannot_see_each_other_are_found_out_by_what_a_third_hears_from_both() {
    let mut world = cluster(4);
    run(&mut world, 0, "k", Action::Set("1".into()));
    world.advance(SECOND);
    world.sync(0);
    world.crash(1);
    world.copy_disk(0, 1);
    world.split(&[1]);
    let original = world.resume(1, Start::Honest);
    // Both write as much, so that neither ever hears of a seq beyond its own.
    for round in 0..3 {
        run(&mut world, 0, &format!("original{round}"), Action::Set("1".into()));
        run(&mut world, 1, &format!("copy{round}"), Action::Set("2".into()));
        world.advance(SECOND / 10);
    }
    world.split(&[0]); // the copy is seen by the others, the original is not
    world.advance(5 * SECOND);
    assert!(world.has_noticed(1), "{}", world.describe());
    assert_ne!(id(&world, 1), original);
    world.heal(&[]);
    for round in 0..3 {
        everywhere(&world, &format!("copy{round}"), &Shown::text("2"));
        everywhere(&world, &format!("original{round}"), &Shown::text("1"));
    }
}

#[test]
fn who_gets_two_events_under_one_dot_tells_their_origin() {
    // Original and copy both pass for genuine, each while the other cannot be seen, and write as much.
    let mut world = cluster(3);
    run(&mut world, 0, "k", Action::Set("1".into()));
    world.advance(SECOND);
    world.sync(0);
    world.crash(1);
    world.copy_disk(0, 1);
    world.detector().delay = (1_000 * SECOND, 1_000 * SECOND); // membership notices nothing in this test
    world.split(&[0]);
    world.resume(1, Start::Honest);
    world.introduce();
    world.advance(2 * SECOND);
    assert!(!world.process(1).engine.on_probation(), "the third host knew of nothing more");
    world.mend();
    world.introduce();
    world.advance(2 * SECOND);
    // At one instant: had the original written nothing yet when the copy's event is acknowledged, that would tell it.
    run(&mut world, 1, "copy", Action::Set("1".into()));
    run(&mut world, 0, "original", Action::Set("1".into()));
    world.advance(10_000);
    assert!(world.has_noticed(0), "{}", world.describe());
    world.detector().delay = (1_000, 50_000);
    world.heal(&[]);
}

#[test]
fn a_peer_that_was_away_while_a_lying_disk_was_believed_tells_later_and_all_agree_again() {
    let mut world = cluster(3);
    run(&mut world, 0, "count", Action::Add(1));
    world.advance(SECOND);
    world.sync(0);
    world.split(&[0, 1]);
    run(&mut world, 0, "old", Action::Set("1".into())); // the second host alone hears of it
    run(&mut world, 0, "both", Action::Set("old".into()));
    world.advance(SECOND);
    world.split(&[1]); // and is away when the disk lies
    world.crash(0);
    world.resume(0, Start::Lying);
    world.advance(5 * SECOND);
    run(&mut world, 0, "new", Action::Set("2".into()));
    run(&mut world, 0, "both", Action::Set("new".into()));
    world.advance(SECOND);
    assert_eq!(world.shown(2, "new"), Shown::text("2"), "the third host knows of nothing else, and believes it");
    assert!(!world.has_noticed(0));
    world.heal(&[]);
    // Two events had one name; of those one is lost, and everybody is told so.
    everywhere(&world, "count", &Shown::text("1"));
    let told = |kind: &str| world.tally().events.get(kind).copied().unwrap_or(0) > 0;
    assert!(told("Forked") || told("FingerprintMismatch") || told("IdentityConflict"));
}

// What moving an event to another id amounts to, between bare stores.

#[test]
fn what_was_added_since_becomes_a_slot_of_the_new_id_and_the_old_one_keeps_what_it_had() {
    let mut t = Tale::new(2);
    t.incr('a', "k", 10);
    t.give('a', 'b');
    t.incr('a', "k", 1);
    t.doubt('a');
    t.seal('a');
    t.incr('a', "k", 2);
    t.rename('a');
    assert_eq!(t.shown('a', "k"), Shown::text("13"));
    t.del('b', "k"); // observed 10 of the old id
    t.heal("k", &Shown::text("3"));
}

#[test]
fn a_slot_of_the_old_id_that_was_reset_since_stays_reset() {
    let mut t = Tale::new(3);
    t.incr('a', "k", 10);
    t.give('a', 'b');
    t.doubt('a');
    t.incr('a', "k", 5);
    t.seal('a');
    t.del('a', "k");
    t.incr('a', "k", 1);
    t.rename('a');
    assert_eq!(t.shown('a', "k"), Shown::text("1"));
    t.heal("k", &Shown::text("1"));
}

#[test]
fn a_slot_that_another_reset_meanwhile_is_not_restored() {
    let mut t = Tale::new(2);
    t.incr('a', "k", 10);
    t.give('a', 'b');
    t.doubt('a');
    t.incr('a', "k", 5);
    t.del('b', "k");
    t.give('b', 'a');
    assert_eq!(t.shown('a', "k"), Shown::text("5"));
    t.rename('a');
    t.heal("k", &Shown::text("5"));
}

#[test]
fn a_removal_under_the_new_id_takes_what_the_old_one_had_written() {
    let mut t = Tale::new(3);
    t.sadd('a', "k", "x");
    t.sadd('a', "k", "y");
    t.give('a', 'b');
    t.doubt('a');
    t.srem('a', "k", "x");
    t.sadd('b', "k", "x");
    t.seal('b');
    t.rename('a');
    t.transfer('a', 'c');
    assert_eq!(t.shown('c', "k"), Shown::set(["y"]));
    t.heal("k", &Shown::set(["x", "y"]));
}
