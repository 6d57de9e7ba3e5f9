//! Votes and presence between engines: whose ballots count, who is told when that changes, and what becomes of those
//! of the dead.
mod circle;

use std::collections::BTreeSet;

use cahoots_gossip::ReplicaId;
use cahoots_gossip::engine::Now;
use cahoots_gossip::store::Class;
use circle::{Circle, id};

/// Longer than any turn at discarding takes.
const TURN_US: u64 = 11_000_000;
const DAY_US: u64 = 24 * 3_600_000_000;

fn vote(circle: &mut Circle, at: usize, ballot: &str) {
    circle.write(at, |w| w.cast(b"leader", Class::Vote, ballot.as_bytes()));
}

fn join(circle: &mut Circle, at: usize, count: u32) {
    circle.write(at, |w| w.cast(b"room", Class::Presence, count.to_string().as_bytes()));
}

/// Three replicas that have all voted and are all present, with nothing untold.
fn assembly() -> Circle {
    let mut circle = Circle::new(3);
    for (at, ballot) in ["x", "x", "y"].into_iter().enumerate() {
        vote(&mut circle, at, ballot);
        join(&mut circle, at, 1);
    }
    circle.write(0, |w| w.set(b"other", b"1"));
    circle.run(100_000);
    (0..3).for_each(|at| drop(circle.changed(at)));
    circle
}

fn keys<const N: usize>(keys: [&str; N]) -> BTreeSet<String> {
    keys.map(str::to_owned).into()
}

#[test]
fn a_second_ballot_replaces_the_first_and_those_who_have_cast_none_are_silent() {
    let mut circle = Circle::new(3);
    assert_eq!(circle.at(0).tally(Now::default(), b"leader").silent.len(), 3);
    vote(&mut circle, 0, "x");
    vote(&mut circle, 1, "x");
    circle.run(100_000);
    vote(&mut circle, 1, "y");
    circle.run(100_000);
    for at in 0..3 {
        let tally = circle.at(at).tally(Now::default(), b"leader");
        assert_eq!((tally.votes_for("x"), tally.votes_for("y"), tally.electorate()), (1, 1, 3));
        assert_eq!(tally.choices[&b"y"[..]], [id(1)].into());
        assert_eq!(tally.silent, [id(2)].into());
    }
}

#[test]
fn a_replica_that_goes_down_counts_no_more_and_watchers_are_told_without_a_write() {
    let mut circle = assembly();
    let written = circle.at(0).position();
    circle.kill(2);
    circle.down(0, 2);
    assert_eq!(circle.changed(0), keys(["leader", "room"]));
    let tally = circle.at(0).tally(Now::default(), b"leader");
    assert_eq!((tally.votes_for("x"), tally.votes_for("y"), tally.electorate()), (2, 0, 2));
    assert_eq!(circle.at(0).present(Now::default(), b"room"), 2);
    assert_eq!(circle.at(1).present(Now::default(), b"room"), 3, "nobody has told this one");
    // It was only away.
    circle.up(0, 2);
    assert_eq!(circle.changed(0), keys(["leader", "room"]));
    assert_eq!(
        (circle.at(0).tally(Now::default(), b"leader").votes_for("y"), circle.at(0).present(Now::default(), b"room")),
        (1, 3)
    );
    circle.gone(0, 2);
    assert_eq!(circle.changed(0), keys(["leader", "room"]));
    assert_eq!(
        (circle.at(0).tally(Now::default(), b"leader").votes_for("y"), circle.at(0).present(Now::default(), b"room")),
        (0, 2)
    );
    assert_eq!(circle.at(0).position(), written, "nothing was written");
}

#[test]
fn a_silent_replica_that_goes_changes_the_vote_too() {
    let mut circle = Circle::new(3);
    vote(&mut circle, 0, "x");
    vote(&mut circle, 1, "x");
    join(&mut circle, 0, 1);
    circle.run(100_000);
    circle.changed(0);
    circle.down(0, 2);
    assert_eq!(circle.changed(0), keys(["leader"]), "it was never present in the room");
    assert!(circle.at(0).tally(Now::default(), b"leader").silent.is_empty(), "unanimous now");
}

#[test]
fn telling_the_same_news_twice_tells_watchers_once() {
    let mut circle = assembly();
    circle.down(0, 2);
    circle.changed(0);
    circle.down(0, 2);
    assert_eq!(circle.changed(0), keys([]));
    circle.up(0, 2);
    circle.changed(0);
    circle.up(0, 2);
    assert_eq!(circle.changed(0), keys([]));
}

#[test]
fn ballots_of_a_replica_that_left_are_discarded_by_one_and_gone_at_all() {
    let mut circle = assembly();
    circle.kill(2);
    circle.gone(0, 2);
    circle.gone(1, 2);
    let now = circle.now;
    assert_eq!(circle.at(1).discard_departed(now), [], "it is the other's turn");
    let discarded = circle.at(0).discard_departed(now);
    assert_eq!(discarded.len(), 2, "{discarded:?}");
    circle.run(100_000);
    for at in 0..2 {
        assert!(circle.at(at).store().ballots().all(|ballot| ballot.owner != id(2)));
        assert_eq!(circle.at(at).tally(Now::default(), b"leader").votes_for("x"), 2);
        assert!(circle.at(at).fingerprints_are_exact());
    }
    circle.run(TURN_US);
    let now = circle.now;
    assert_eq!(circle.at(1).discard_departed(now), [], "nothing is left");
}

#[test]
fn the_next_one_discards_when_the_first_in_turn_was_not_told() {
    let mut circle = assembly();
    circle.kill(2);
    circle.down(0, 2);
    circle.gone(1, 2);
    let now = circle.now;
    assert_eq!(circle.at(0).discard_departed(now), [], "as far as it knows the other may be back");
    assert_eq!(circle.at(1).discard_departed(now), []);
    circle.run(TURN_US);
    let now = circle.now;
    assert_eq!(circle.at(1).discard_departed(now).len(), 2);
}

#[test]
fn ballots_of_a_failed_replica_stay_and_count_again_when_it_is_back() {
    let mut circle = assembly();
    circle.down(0, 2);
    circle.down(1, 2);
    circle.run(2 * DAY_US / 24);
    let now = circle.now;
    assert_eq!(circle.at(0).discard_departed(now), []);
    circle.up(0, 2);
    assert_eq!(circle.at(0).present(Now::default(), b"room"), 3);
}

#[test]
fn ballots_of_owners_nobody_has_met_go_after_a_day() {
    let mut circle = assembly();
    // All who knew the third one are gone: only its ballots are left, at a newcomer.
    let newcomer = circle.start();
    circle.up(newcomer, 0);
    circle.up(0, newcomer);
    circle.run(3_000_000);
    circle.gone(newcomer, 0);
    let now = circle.now;
    assert_eq!(circle.at(newcomer).store().ballots().count(), 6);
    assert_eq!(circle.at(newcomer).discard_departed(now).len(), 2, "those of the one it has met");
    (0..3).for_each(|at| circle.kill(at));
    circle.now.mono += DAY_US - 1_000_000;
    let now = circle.now;
    assert_eq!(circle.at(newcomer).discard_departed(now), []);
    circle.now.mono += 2_000_000;
    let now = circle.now;
    assert_eq!(circle.at(newcomer).discard_departed(now).len(), 4);
    assert_eq!(circle.at(newcomer).store().ballots().count(), 0);
}

#[test]
fn a_replica_that_goes_on_under_another_id_tells_its_watchers_that_its_old_ballots_count_no_more() {
    let mut circle = assembly();
    let (now, new) = (circle.now, ReplicaId::new(99));
    circle.at(0).take_new_id(now, new);
    assert_eq!(circle.at(0).tally(Now::default(), b"leader").silent, [new].into());
    assert_eq!(circle.at(0).present(Now::default(), b"room"), 2);
    assert_eq!(circle.changed(0), keys(["leader", "room"]));
}
