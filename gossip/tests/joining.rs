//! Engines that join: when they are ready, and that none waits for ever.
mod circle;

use cahoots_gossip::Zone;
use cahoots_gossip::engine::{Event, Readiness, ReadyReason, Standing};
use circle::{Circle, addr, id};

const TIMEOUT_US: u64 = 5_000_000;
/// The defaults of the configuration.
const SETTLE_US: u64 = 250_000;
const LISTEN_US: u64 = 2_000_000;

/// Starts one that joins.
fn joiner(circle: &mut Circle) -> usize {
    let (at, now) = (circle.start(), circle.now);
    circle.at(at).join(now, TIMEOUT_US);
    at
}

/// Membership introduces two, each announcing how it stands.
fn introduce(circle: &mut Circle, a: usize, b: usize) {
    for (at, peer) in [(a, b), (b, a)] {
        circle.up(at, peer);
        announce(circle, at, peer);
    }
}

/// Membership tells one how another stands.
fn announce(circle: &mut Circle, at: usize, peer: usize) {
    let (now, stance) = (circle.now, circle.at(peer).stance());
    circle.at(at).peer_stance(now, id(peer), stance);
}

fn reason(circle: &mut Circle, at: usize) -> Option<ReadyReason> {
    match circle.at(at).readiness() {
        Readiness::Ready(reason) => Some(reason),
        Readiness::Joining(_) => None,
    }
}

#[test]
fn a_replica_that_joins_nobody_is_ready_from_the_start() {
    let mut circle = Circle::strangers(1);
    assert_eq!(reason(&mut circle, 0), Some(ReadyReason::First));
}

#[test]
fn a_joiner_is_ready_once_it_has_what_a_ready_peer_had_and_says_so_once() {
    let mut circle = Circle::strangers(1);
    for at in 0..50 {
        circle.write(0, |w| w.set(format!("key{at}").as_bytes(), &[b'v'; 900]));
        circle.run(300);
    }
    let joiner = joiner(&mut circle);
    introduce(&mut circle, 0, joiner);
    assert_eq!(reason(&mut circle, joiner), None);
    circle.run(200_000);
    assert_eq!(reason(&mut circle, joiner), Some(ReadyReason::CaughtUp { peer: id(0) }));
    assert_eq!(circle.at(joiner).store().len(), 50);
    let told = circle.events(joiner).into_iter().filter(|event| matches!(event, Event::Ready { .. })).count();
    assert_eq!(told, 1);
}

#[test]
fn a_joiner_of_an_empty_cluster_is_ready_as_soon_as_it_is_answered() {
    let mut circle = Circle::strangers(1);
    let joiner = joiner(&mut circle);
    introduce(&mut circle, 0, joiner);
    circle.run(1);
    assert_eq!(reason(&mut circle, joiner), Some(ReadyReason::CaughtUp { peer: id(0) }));
}

#[test]
fn a_joiner_whose_peer_does_not_know_it_yet_asks_until_it_is_answered() {
    let mut circle = Circle::strangers(1);
    let joiner = joiner(&mut circle);
    circle.up(joiner, 0); // its question is refused: the sender is no known peer
    circle.run(60_000);
    assert_eq!(reason(&mut circle, joiner), None);
    circle.up(0, joiner);
    circle.run(120_000);
    assert_eq!(reason(&mut circle, joiner), Some(ReadyReason::CaughtUp { peer: id(0) }));
}

#[test]
fn joiners_that_only_meet_each_other_are_ready_together_and_at_once() {
    let mut circle = Circle::strangers(0);
    for _ in 0..3 {
        joiner(&mut circle);
    }
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        introduce(&mut circle, a, b);
    }
    circle.run(260_000);
    for at in 0..3 {
        assert_eq!(reason(&mut circle, at), Some(ReadyReason::Together));
    }
}

#[test]
fn joiners_that_each_have_something_are_ready_when_all_have_all_of_it() {
    let mut circle = Circle::strangers(0);
    for at in 0..3 {
        joiner(&mut circle);
        circle.write(at, |w| w.set(format!("from{at}").as_bytes(), b"disk"));
    }
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        introduce(&mut circle, a, b);
    }
    circle.run(600_000);
    for at in 0..3 {
        assert!(reason(&mut circle, at).is_some());
        assert_eq!(circle.at(at).store().len(), 3);
    }
}

#[test]
fn a_joiner_that_meets_another_first_waits_for_the_one_with_the_data() {
    let mut circle = Circle::strangers(1);
    circle.write(0, |w| w.set(b"key", b"value"));
    let (a, b) = (joiner(&mut circle), joiner(&mut circle));
    introduce(&mut circle, a, b);
    circle.run(200_000);
    assert_eq!(reason(&mut circle, a), None, "somebody with data may be about to show up");
    introduce(&mut circle, 0, a);
    introduce(&mut circle, 0, b);
    circle.run(100_000);
    for at in [a, b] {
        assert_eq!(circle.at(at).store().len(), 1);
        assert!(reason(&mut circle, at).is_some());
    }
}

#[test]
fn whom_nobody_answers_serves_after_the_timeout_and_is_complete_together_with_those_who_come() {
    let mut circle = Circle::strangers(0);
    joiner(&mut circle);
    circle.run(TIMEOUT_US - 1);
    assert_eq!(reason(&mut circle, 0), None);
    circle.run(2);
    assert_eq!(reason(&mut circle, 0), Some(ReadyReason::Alone));
    let late = joiner(&mut circle);
    introduce(&mut circle, 0, late);
    circle.run(100_000);
    assert_eq!((reason(&mut circle, 0), reason(&mut circle, late)), (Some(ReadyReason::Alone), None));
    circle.run(200_000);
    assert_eq!(reason(&mut circle, 0), Some(ReadyReason::Together));
    assert_eq!(reason(&mut circle, late), Some(ReadyReason::Together));
}

#[test]
fn a_joiner_whose_only_source_dies_serves_what_it_has_after_the_timeout() {
    let mut circle = Circle::strangers(1);
    circle.write(0, |w| w.set(b"key", b"value"));
    let joiner = joiner(&mut circle);
    introduce(&mut circle, 0, joiner);
    circle.kill(0);
    circle.run(1_000_000);
    circle.down(joiner, 0);
    circle.run(TIMEOUT_US);
    assert_eq!(reason(&mut circle, joiner), Some(ReadyReason::Unfinished { percent: 0 }));
    assert_eq!(circle.at(joiner).standing(), Standing::Incomplete);
    // A fresh one that meets it has caught up with nobody.
    let late = self::joiner(&mut circle);
    introduce(&mut circle, joiner, late);
    circle.run(TIMEOUT_US - 1);
    assert_eq!(reason(&mut circle, late), None);
    circle.run(2);
    assert_eq!(circle.at(late).standing(), Standing::Incomplete);
}

/// One that served alone meets the one with the data, which restarts at once: whoever restarts must not take the empty one
/// for the cluster.
#[test]
fn nobody_catches_up_with_one_that_served_alone_and_has_not_caught_up_itself() {
    let mut circle = Circle::strangers(1);
    circle.write(0, |w| w.set(b"key", b"value"));
    let alone = joiner(&mut circle);
    circle.run(TIMEOUT_US + 1);
    assert_eq!(circle.at(alone).standing(), Standing::Alone);
    introduce(&mut circle, 0, alone);
    assert_eq!(circle.at(alone).standing(), Standing::Incomplete);
    circle.kill(0);
    circle.down(alone, 0);
    let restarted = joiner(&mut circle);
    introduce(&mut circle, restarted, alone);
    circle.run(TIMEOUT_US - 1);
    assert_eq!(reason(&mut circle, restarted), None);
    circle.run(2);
    assert_eq!(circle.at(restarted).standing(), Standing::Incomplete);
}

/// It has no seeds, so it founds a cluster each time; and whoever joins it must not take it for the cluster it was of.
#[test]
fn nobody_catches_up_with_a_founder_that_was_started_again_beside_others() {
    let mut circle = Circle::new(2);
    circle.write(0, |w| w.set(b"key", b"value"));
    circle.run(10_000);
    let (founder, now) = (circle.start(), circle.now);
    circle.at(founder).found(now);
    assert_eq!((circle.at(founder).standing(), circle.at(founder).is_ready()), (Standing::Joining, true));
    circle.run(LISTEN_US);
    assert_eq!(circle.at(founder).standing(), Standing::Complete, "nobody has called");
    introduce(&mut circle, founder, 0);
    assert_eq!(circle.at(founder).standing(), Standing::Incomplete);
    let late = joiner(&mut circle);
    introduce(&mut circle, late, founder);
    circle.run(20_000);
    announce(&mut circle, late, founder);
    assert_eq!((circle.at(founder).standing(), circle.at(founder).store().len()), (Standing::Complete, 1));
    circle.run(200_000);
    assert_eq!(
        (reason(&mut circle, late), circle.at(late).store().len()),
        (Some(ReadyReason::CaughtUp { peer: id(founder) }), 1)
    );
    // One that somebody has joined is like any other.
    let mut fresh = Circle::strangers(1);
    let now = fresh.now;
    fresh.at(0).found(now);
    let second = joiner(&mut fresh);
    introduce(&mut fresh, 0, second);
    fresh.run(SETTLE_US);
    assert_eq!(reason(&mut fresh, second), None, "somebody who has the data may call on the founder");
    fresh.run(LISTEN_US);
    announce(&mut fresh, second, 0);
    fresh.run(10_000);
    assert_eq!(reason(&mut fresh, second), Some(ReadyReason::CaughtUp { peer: id(0) }));
    announce(&mut fresh, 0, second);
    assert_eq!(fresh.at(0).standing(), Standing::Complete);
    fresh.run(10_000);
    assert_eq!(fresh.at(0).standing(), Standing::Complete);
    fresh.down(0, second);
    fresh.up(0, second);
    assert_eq!(fresh.at(0).standing(), Standing::Complete, "it does not begin anew");
}

/// What it wrote itself is everywhere, or it wrote nothing.
#[test]
fn the_last_holder_of_what_others_wrote_has_not_handed_over_before_another_has_it() {
    let mut circle = Circle::new(2);
    circle.write(1, |w| w.set(b"key", b"value"));
    circle.run(10_000);
    circle.kill(1);
    circle.gone(0, 1);
    let now = circle.now;
    circle.at(0).begin_hand_over(now);
    assert!(!circle.at(0).is_handed_over(1), "nobody is there");
    let fresh = joiner(&mut circle);
    circle.up(0, fresh);
    announce(&mut circle, 0, fresh);
    assert!(!circle.at(0).is_handed_over(1), "one is there and has nothing");
    circle.up(fresh, 0);
    for _ in 0..20 {
        circle.run(10_000);
        let now = circle.now;
        circle.at(0).pursue_hand_over(now);
    }
    assert_eq!(circle.at(fresh).store().len(), 1);
    assert!(circle.at(0).is_handed_over(1) && circle.at(0).handed_over_to() == 1);
    assert!(!circle.at(0).is_handed_over(2));
}

fn pursue(circle: &mut Circle, stopping: &[usize], micros: u64) {
    for _ in 0..micros / 10_000 {
        circle.run(10_000);
        let now = circle.now;
        stopping.iter().for_each(|at| circle.at(*at).pursue_hand_over(now));
    }
}

/// Everybody has everything, and nobody stays.
#[test]
fn of_those_that_stop_together_none_hands_over_to_another() {
    let mut circle = Circle::new(3);
    circle.write(1, |w| w.set(b"key", b"value"));
    circle.run(1_000_000);
    let now = circle.now;
    (0..3).for_each(|at| circle.at(at).begin_hand_over(now));
    pursue(&mut circle, &[0, 1, 2], 1_000_000);
    for at in 0..3 {
        assert!(!circle.at(at).is_handed_over(1) && circle.at(at).is_handed_over_to_all());
        assert!((0..3).filter(|other| *other != at).all(|other| circle.at(at).stops_too(id(other))));
    }
}

/// The two ask each other, and the third, which has everything and does not answer.
#[test]
fn whoever_does_not_say_that_it_stays_is_not_relied_on() {
    let mut circle = Circle::new(3);
    circle.write(0, |w| w.set(b"key", b"value"));
    circle.run(1_000_000);
    circle.silent.insert(2);
    let now = circle.now;
    (0..2).for_each(|at| circle.at(at).begin_hand_over(now));
    pursue(&mut circle, &[0, 1], 1_000_000);
    assert!((0..2).all(|at| !circle.at(at).is_handed_over(1)));
    circle.silent.clear();
    pursue(&mut circle, &[0, 1], 1_000_000);
    assert!((0..2).all(|at| circle.at(at).is_handed_over(1) && circle.at(at).handed_over_to() == 1));
}

/// It stays when it is asked, and stops later: then it hands over what it was left, or says that it could not.
#[test]
fn of_two_that_stop_one_after_the_other_the_first_has_handed_over_and_the_second_has_not() {
    let mut circle = Circle::new(2);
    circle.write(0, |w| w.set(b"key", b"value"));
    circle.run(1_000_000);
    let now = circle.now;
    circle.at(0).begin_hand_over(now);
    pursue(&mut circle, &[0], 200_000);
    let now = circle.now;
    circle.at(1).begin_hand_over(now);
    pursue(&mut circle, &[0, 1], 1_000_000);
    assert!(circle.at(0).is_handed_over(1) && !circle.at(1).is_handed_over(1));
    // What comes after it began is no part of it, until it is begun again; and there is no other answer any more.
    circle.write(0, |w| w.set(b"late", b"value"));
    pursue(&mut circle, &[0, 1], 1_000_000);
    assert!(circle.at(0).is_handed_over(1));
    let now = circle.now;
    circle.at(0).begin_hand_over(now);
    pursue(&mut circle, &[0, 1], 1_000_000);
    assert!(!circle.at(0).is_handed_over(1) && circle.at(0).stops_too(id(1)));
}

/// Otherwise the last of its words would always be too old.
#[test]
fn a_hand_over_ends_while_more_is_written() {
    let mut circle = Circle::new(2);
    circle.write(0, |w| w.set(b"key", b"value"));
    circle.run(1_000_000);
    let now = circle.now;
    circle.at(0).begin_hand_over(now);
    for n in 0..200_u32 {
        circle.write(0, |w| w.set(b"late", &n.to_be_bytes()));
        pursue(&mut circle, &[0], 10_000);
    }
    assert!(circle.at(0).is_handed_over(1) && circle.at(0).is_handed_over_to_all());
}

#[test]
fn a_replica_that_has_to_take_another_id_goes_on_handing_over() {
    let mut circle = Circle::new(2);
    circle.write(0, |w| w.set(b"key", b"value"));
    circle.write(1, |w| w.set(b"other", b"value"));
    circle.run(10_000);
    let (now, fresh) = (circle.now, id(7));
    circle.at(0).begin_hand_over(now);
    circle.at(0).take_new_id(now, fresh);
    circle.gone(1, 0);
    circle.at(1).peer_up(now, fresh, addr(0), Zone::default());
    circle.write(0, |w| w.set(b"third", b"value"));
    assert!(!circle.at(0).is_handed_over(1), "nobody has what it wrote under the new one");
    for _ in 0..20 {
        circle.run(10_000);
        let now = circle.now;
        circle.at(0).pursue_hand_over(now);
    }
    assert_eq!(circle.at(1).store().len(), 3);
    assert!(circle.at(0).is_handed_over(1));
}

#[test]
fn everything_can_be_handed_over_to_more_peers_than_are_asked_at_a_time() {
    let mut circle = Circle::new(21);
    circle.write(1, |w| w.set(b"key", b"value"));
    circle.run(5_000_000);
    let now = circle.now;
    circle.at(0).begin_hand_over(now);
    for _ in 0..40 {
        circle.run(10_000);
        let now = circle.now;
        circle.at(0).pursue_hand_over(now);
    }
    assert!(circle.at(0).is_handed_over(20) && !circle.at(0).is_handed_over(21));
    assert!(circle.at(0).is_handed_over_to_all());
}

/// More silent peers than are asked at a time, each of whom was asked before.
#[test]
fn a_joiner_of_many_silent_peers_sleeps_between_its_questions() {
    let mut circle = Circle::strangers(0);
    let joiner = joiner(&mut circle);
    for peer in 1..40 {
        circle.up(joiner, peer);
    }
    let (mut looks, end) = (0, circle.now.mono + 4_000_000);
    while circle.now.mono < end {
        let now = circle.now;
        circle.at(joiner).handle_timeout(now);
        while circle.at(joiner).poll_transmit(now).is_some() {}
        let due = circle.at(joiner).poll_timeout();
        assert!(due > now.mono, "at {} it wants to be called at {due}", now.mono);
        circle.now.mono = due;
        looks += 1;
    }
    assert!(looks < 200, "called {looks} times in four seconds");
}

#[test]
fn a_joiner_does_not_wait_for_a_peer_that_has_left() {
    let mut circle = Circle::strangers(0);
    let (a, b, silent) = (joiner(&mut circle), joiner(&mut circle), joiner(&mut circle));
    introduce(&mut circle, a, b);
    introduce(&mut circle, a, silent);
    introduce(&mut circle, b, silent);
    circle.kill(silent);
    circle.run(1_000_000);
    assert_eq!((reason(&mut circle, a), reason(&mut circle, b)), (None, None), "one of them has said nothing");
    for at in [a, b] {
        circle.gone(at, silent);
    }
    circle.run(1_000);
    for at in [a, b] {
        assert_eq!(reason(&mut circle, at), Some(ReadyReason::Together));
    }
}

#[test]
fn a_joiner_that_is_to_wait_for_ever_does() {
    let mut circle = Circle::strangers(1);
    circle.run(1_000);
    let now = circle.now;
    circle.at(0).join(now, u64::MAX);
    circle.run(60_000_000);
    assert_eq!(reason(&mut circle, 0), None);
}

#[test]
fn catching_up_by_buckets_is_waited_for_and_its_progress_shows() {
    let mut config = cahoots_gossip::engine::ReplicaConfig::default();
    config.log_bytes_max = 4096;
    let mut circle = Circle::strangers(0);
    circle.start_with(config);
    for at in 0..2_000 {
        circle.write(0, |w| w.set(format!("key{at}").as_bytes(), &[b'v'; 100]));
        circle.run(300);
    }
    let joiner = joiner(&mut circle);
    introduce(&mut circle, 0, joiner);
    let mut seen = Vec::new();
    while reason(&mut circle, joiner).is_none() {
        circle.now.mono += 100;
        if !circle.exchange() {
            circle.run(1_000);
        }
        if let Readiness::Joining(progress) = circle.at(joiner).readiness() {
            seen.push((progress.percent, progress.buckets));
        }
    }
    assert!(seen.is_sorted() && seen.iter().any(|(percent, buckets)| (1..100).contains(percent) && *buckets > 0));
    assert_eq!(reason(&mut circle, joiner), Some(ReadyReason::CaughtUp { peer: id(0) }));
    assert_eq!(circle.at(joiner).store().len(), 2_000);
}
