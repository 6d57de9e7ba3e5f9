//! Histories told by hand between bare stores: each breaks a system that leaves out one of the replication rules.

use cahoots_gossip::store::{ListEnd, Store};
use cahoots_gossip::{Limits, ReplicaId};
use cahoots_tests::client::Reply;
use cahoots_tests::commands::Commands;
use cahoots_tests::exchange::{Tale, bucket_of};
use cahoots_tests::oracle::{self, Action, Shown};

fn sadd(member: &str) -> Action {
    Action::AddMember(member.into())
}

#[test]
fn a_delete_takes_what_it_observed_and_spares_a_concurrent_increment() {
    let mut t = Tale::new(2);
    t.incr('a', "k", 10);
    t.transfer('a', 'b');
    t.del('a', "k");
    t.incr('b', "k", 1);
    t.heal("k", &Shown::text("1"));
}

#[test]
fn a_replica_away_beyond_every_log_keeps_its_increments_and_loses_what_was_reset() {
    let mut t = Tale::new(3);
    t.incr('c', "k", 10);
    t.give('c', 'a');
    t.give('c', 'b');
    t.incr('c', "k", 1);
    t.seal('c');
    t.incr('c', "k", 1);
    t.seal('c');
    t.forget_log('c');
    t.del('a', "k");
    t.give('a', 'b');
    t.incr('a', "k", 100);
    t.give('a', 'b');
    t.forget_log('a');
    t.forget_log('b');
    for (from, to) in [('a', 'b'), ('b', 'a'), ('b', 'c'), ('c', 'b')] {
        t.ack(from, to);
    }
    t.transfer('b', 'c');
    t.transfer('c', 'b');
    t.heal("k", &Shown::text("102"));
}

#[test]
fn an_event_of_which_only_one_bucket_survived_its_writer_is_kept_where_it_is_and_blocks_nothing() {
    assert_ne!(bucket_of("k"), bucket_of("l"));
    let mut t = Tale::new(2);
    t.group('a', &[("k", sadd("x")), ("l", sadd("x"))]);
    t.ask('a', 'b', "k");
    t.arrive();
    t.crash('a');
    t.heal("k", &Shown::set(["x"]));
    assert_eq!(t.shown('b', "l"), Shown::Nothing);
    assert!(t.has('b', "k", 'a', 1) && !t.has('b', "l", 'a', 1));
    t.sadd('a', "l", "y");
    t.heal("l", &Shown::set(["y"]));
}

#[test]
fn a_reset_known_in_one_bucket_only_still_takes_what_it_observed() {
    let mut t = Tale::new(2);
    t.incr('b', "k", 1);
    t.give('b', 'a');
    t.del('a', "k");
    t.ask('a', 'b', "k");
    t.arrive();
    t.crash('a');
    t.transfer('b', 'a');
    t.heal("k", &Shown::Nothing);
}

#[test]
fn a_bucket_that_was_equal_when_asked_for_and_is_not_on_arrival_is_not_taken_over() {
    let mut t = Tale::new(3);
    t.sadd('a', "k", "x");
    t.give('a', 'b');
    t.give('a', 'c');
    t.ask('b', 'c', "k"); // equal: the answer only names the bucket
    t.crash('c');
    t.arrive();
    assert!(!t.has('c', "k", 'a', 1));
    t.heal("k", &Shown::set(["x"]));
}

#[test]
fn a_transfer_read_before_a_removal_does_not_bring_back_what_was_removed() {
    let mut t = Tale::new(3);
    t.sadd('a', "k", "x");
    t.give('a', 'b');
    t.ask('b', 'c', "k"); // holds x
    t.srem('b', "k", "x");
    t.give('a', 'c');
    t.give('b', 'c');
    assert_eq!(t.shown('c', "k"), Shown::Nothing);
    t.arrive();
    assert_eq!(t.shown('c', "k"), Shown::Nothing);
    t.heal("k", &Shown::Nothing);
}

#[test]
fn a_baseline_stays_while_the_owner_that_acknowledged_it_has_an_open_window() {
    let mut t = Tale::new(2);
    t.incr('b', "k", 4);
    t.transfer('b', 'a');
    t.del('a', "k");
    t.incr('b', "k", 1); // in the life that the reset ends, and not sealed
    t.give('a', 'b');
    t.ack('b', 'a');
    t.heal("k", &Shown::text("1"));
}

#[test]
fn a_removed_member_does_not_stay_beside_the_new_life_of_its_key() {
    let mut t = Tale::new(4);
    t.sadd('c', "k", "y");
    t.give('c', 'a');
    t.give('c', 'd');
    t.srem('a', "k", "y");
    t.seal('a');
    t.give('c', 'b');
    t.give('a', 'b');
    t.set('b', "k", "1");
    t.give('b', 'd');
    assert_eq!(t.shown('d', "k"), Shown::set(["y"]), "what names the removal waits for it");
    t.give('a', 'd');
    t.give('b', 'd');
    t.heal("k", &Shown::text("1"));
}

#[test]
fn a_member_removed_in_the_past_of_what_is_shown_does_not_appear() {
    let mut t = Tale::new(4);
    t.sadd('c', "k", "y");
    t.give('c', 'a');
    t.srem('a', "k", "y");
    t.give('c', 'b');
    t.give('a', 'b');
    t.set('b', "k", "1");
    t.give('b', 'd');
    t.give('c', 'd');
    assert_eq!(t.shown('d', "k"), Shown::set(["y"]), "nothing of B is applied yet");
    t.give('b', 'd');
    assert_eq!(t.shown('d', "k"), Shown::set(["y"]), "the removal is still missing");
    t.heal("k", &Shown::text("1"));
}

#[test]
fn a_member_that_vanished_for_a_client_does_not_come_back() {
    let mut t = Tale::new(4);
    t.sadd('c', "k", "y");
    t.give('c', 'a');
    t.srem('a', "k", "y");
    t.give('c', 'b');
    t.give('a', 'b');
    t.sadd('b', "k", "y");
    t.give('b', 'd');
    t.srem('b', "k", "y");
    t.give('b', 'd');
    assert_eq!(t.shown('d', "k"), Shown::Nothing);
    t.give('c', 'd');
    assert_eq!(t.shown('d', "k"), Shown::set(["y"]), "nothing of B has been shown here, so nothing has vanished");
    t.give('a', 'd');
    assert_eq!(t.shown('d', "k"), Shown::Nothing);
    t.give('b', 'd');
    assert_eq!(t.shown('d', "k"), Shown::Nothing);
    t.heal("k", &Shown::Nothing);
}

#[test]
fn a_counter_slot_reset_by_one_and_deleted_with_its_key_by_another_is_counted_once() {
    let mut t = Tale::new(6);
    t.incr('c', "k", 10);
    t.give('c', 'a');
    t.give('c', 'b');
    t.del('a', "k");
    t.seal('a');
    t.incr('c', "k", 2);
    t.give('c', 'b');
    t.del('b', "k");
    t.seal('b');
    t.incr('c', "k", 0);
    for (from, to) in [('c', 'd'), ('b', 'd')] {
        t.give(from, to);
    }
    t.give('c', 'd');
    t.del('d', "k");
    for to in ['e', 'f'] {
        for from in ['c', 'a', 'b', 'd'] {
            t.give(from, to);
        }
    }
    t.give('a', 'c');
    t.ack('c', 'e');
    t.incr('c', "k", 1);
    t.give('c', 'f');
    t.give('c', 'e');
    t.heal("k", &Shown::text("1"));
}

#[test]
fn an_event_that_only_waited_when_its_writer_and_what_it_names_died_is_lost_like_one_never_sent() {
    let mut t = Tale::new(3);
    t.sadd('c', "k", "y");
    t.give('c', 'a');
    t.set('a', "k", "1");
    t.give('a', 'b');
    assert_eq!(t.shown('b', "k"), Shown::Nothing, "it waits for the event of C that it names");
    t.crash('c');
    t.crash('a');
    t.sadd('b', "k", "x");
    t.heal("k", &Shown::set(["x"]));
    assert!(!t.has('b', "k", 'a', 1));
}

#[test]
fn of_two_assignments_the_later_wins_and_the_increment_observed_by_the_loser_is_consumed() {
    let mut t = Tale::new(3);
    t.incr('c', "k", 5);
    t.transfer('c', 'a');
    t.set('a', "k", "10");
    t.set('b', "k", "20");
    t.heal("k", &Shown::text("20"));
}

#[test]
fn an_increment_concurrent_with_an_assignment_is_added_and_one_it_observed_is_not() {
    let mut t = Tale::new(2);
    t.incr('a', "k", 3);
    t.transfer('a', 'b');
    t.set('b', "k", "5");
    t.incr('a', "k", 1);
    t.heal("k", &Shown::text("6"));
    t.set('a', "k", "5");
    t.heal("k", &Shown::text("5"));
}

#[test]
fn a_type_clash_shows_the_newest_and_shows_the_other_when_the_newest_is_gone() {
    let mut t = Tale::new(2);
    t.sadd('a', "k", "x");
    t.hset('b', "k", "f", "1");
    t.hset('b', "k", "g", "2");
    t.sadd('a', "k", "y");
    t.transfer('b', 'a');
    assert_eq!(t.shown('a', "k"), Shown::set(["x", "y"]));
    t.srem('a', "k", "y");
    assert_eq!(t.shown('a', "k"), Shown::hash([("f", "1"), ("g", "2")]), "x is older than g");
    t.heal("k", &Shown::hash([("f", "1"), ("g", "2")]));
    t.del('a', "k");
    t.heal("k", &Shown::Nothing);
}

#[test]
fn a_reset_of_another_replicas_counter_in_a_hash_takes_what_it_observed() {
    let mut t = Tale::new(2);
    t.hincr('b', "h", "n", 5);
    t.transfer('b', 'a');
    t.hdel('a', "h", "n");
    t.hincr('b', "h", "n", 7);
    t.heal("h", &Shown::hash([("n", "7")]));
}

#[test]
fn a_state_that_brings_nothing_but_a_reset_changes_the_value_and_says_so() {
    let mut t = Tale::new(2);
    t.incr('b', "k", 24);
    t.give('b', 'a');
    t.incr('b', "k", 68);
    t.seal('b');
    t.del('a', "k");
    // No cell of B changes: its slot counts for less. That B's watcher hears of it is checked with every step.
    t.transfer('a', 'b');
    assert_eq!(t.shown('b', "k"), Shown::text("68"));
    t.heal("k", &Shown::text("68"));
}

#[test]
fn a_field_removed_and_set_again_never_shows_its_old_value() {
    let mut t = Tale::new(3);
    t.hset('a', "h", "f", "old");
    t.transfer('a', 'b');
    t.transfer('a', 'c');
    t.hdel('b', "h", "f");
    t.hset('b', "h", "f", "new");
    t.transfer('c', 'b');
    t.transfer('b', 'c');
    t.transfer('a', 'c');
    assert_eq!(t.shown('c', "h"), Shown::hash([("f", "new")]));
    t.heal("h", &Shown::hash([("f", "new")]));
}

#[test]
fn merging_in_every_order_gives_one_result_when_a_field_is_removed_beside_a_sibling_set() {
    let pairs = [('a', 'b'), ('b', 'a'), ('a', 'c'), ('c', 'a'), ('b', 'c'), ('c', 'b')];
    for order in permutations(&pairs) {
        let mut t = Tale::new(3);
        t.hset('a', "h", "x", "1");
        t.hincr('a', "h", "n", 4);
        t.transfer('a', 'b');
        t.transfer('a', 'c');
        t.hdel('a', "h", "x");
        t.hincr('b', "h", "n", 2);
        t.hset('b', "h", "y", "2");
        t.hdel('c', "h", "n");
        for (from, to) in order {
            t.transfer(from, to);
        }
        t.heal("h", &Shown::hash([("n", "2"), ("y", "2")]));
    }
}

#[test]
fn a_no_op_becomes_no_event_and_a_missing_key_stays_missing() {
    let mut t = Tale::new(1);
    let replies = t.group(
        'a',
        &[("k", Action::RemoveMember("x".into())), ("k", Action::RemoveField("x".into())), ("k", Action::Delete)],
    );
    assert_eq!(replies, [Reply::Idle, Reply::Idle, Reply::Idle]);
    assert_eq!(t.shown('a', "k"), Shown::Nothing);
    t.sadd('a', "k", "x");
    t.seal('a');
    assert!(t.has('a', "k", 'a', 1) && !t.has('a', "k", 'a', 2));
}

#[test]
fn what_one_group_did_reaches_the_others_as_one_event() {
    let mut t = Tale::new(2);
    t.group('a', &[("k", Action::Set("1".into())), ("l", sadd("x")), ("m", Action::Add(2))]);
    t.seal('a');
    assert!(t.has('a', "k", 'a', 1) && !t.has('a', "k", 'a', 2));
    t.give('a', 'b');
    assert_eq!(t.shown('b', "k"), Shown::text("1"));
    assert_eq!(t.shown('b', "l"), Shown::set(["x"]));
    assert_eq!(t.shown('b', "m"), Shown::text("2"));
}

#[test]
fn what_only_an_absent_replica_has_is_not_given_up_and_comes_back_with_it() {
    // A's event reaches C whole and B in one bucket; A is gone for good, and C is away. Whoever skipped the gap would
    // count the rest as known, and take it from C as removed.
    let mut t = Tale::new(3);
    t.group('a', &[("k", sadd("x")), ("l", sadd("x"))]);
    t.transfer('a', 'c');
    t.ask('a', 'b', "k");
    t.arrive();
    t.crash('a');
    t.sadd('b', "k", "y");
    t.sadd('b', "l", "y");
    t.transfer('b', 'a');
    assert_eq!(t.shown('a', "l"), Shown::set(["y"]));
    assert!(!t.has('b', "l", 'a', 1) && !t.has('a', "l", 'a', 1));
    t.heal("l", &Shown::set(["x", "y"]));
    t.heal("k", &Shown::set(["x", "y"]));
}

#[test]
fn a_write_that_has_seen_half_of_an_event_spares_the_other_half() {
    // One event of A touches two keys; B has it for one of them, by a transfer, and overwrites both.
    let mut t = Tale::new(3);
    t.group('a', &[("k", Action::Add(7)), ("l", sadd("x"))]);
    t.ask('a', 'b', "k");
    t.arrive();
    t.set('b', "k", "2");
    t.set('b', "l", "2");
    t.give('a', 'c');
    t.give('b', 'c');
    t.heal("k", &Shown::text("2"));
    t.del('a', "l");
    t.heal("l", &Shown::Nothing);
}

#[test]
fn an_event_is_applied_in_all_its_buckets_or_in_none() {
    // B's event touches k, where it follows on A's, and l, where it does not.
    let mut t = Tale::new(3);
    t.sadd('a', "k", "x");
    t.give('a', 'b');
    t.group('b', &[("k", sadd("y")), ("l", sadd("y"))]);
    t.give('b', 'c');
    assert_eq!(t.shown('c', "l"), Shown::Nothing, "it waits, in both");
    t.give('a', 'c');
    t.give('b', 'c');
    assert_eq!(t.shown('c', "k"), Shown::set(["x", "y"]));
    assert_eq!(t.shown('c', "l"), Shown::set(["y"]));
    t.heal("k", &Shown::set(["x", "y"]));
}

#[test]
fn a_state_read_while_a_window_is_open_holds_all_that_was_done_in_it() {
    // Open cells replace sealed ones at once: a state that did not seal first would hold cells of an event that its
    // version vector does not have.
    let mut t = Tale::new(2);
    t.set('a', "k", "1");
    t.incr('a', "n", 1);
    t.seal('a');
    t.del('a', "k");
    t.incr('a', "n", 1);
    t.transfer('a', 'b');
    assert_eq!(t.shown('b', "k"), Shown::Nothing);
    assert_eq!(t.shown('b', "n"), Shown::text("2"));
    t.incr('a', "n", 1);
    t.heal("n", &Shown::text("3"));
}

#[test]
fn a_digest_taken_while_a_window_is_open_speaks_of_what_is_in_it() {
    // A cell is in the fingerprint as soon as it is written, and in the version vector once its window is sealed: a
    // digest that did not seal first would show another state under the same version vector.
    let mut store = Store::new(ReplicaId::new(1), Limits::default(), 1_000);
    let set = |store: &mut Store, value: &[u8]| store.write(0, 0, |w| w.set(b"k", value)).expect("within the limits");
    set(&mut store, b"1");
    let digest = (store.version_hash(), store.fingerprint());
    set(&mut store, b"2");
    let fingerprint = store.fingerprint();
    set(&mut store, b"3");
    let version_hash = store.version_hash();
    assert_ne!((version_hash, fingerprint), digest);
    assert_ne!(version_hash, digest.0, "another state, another version vector");
    assert_eq!(store.version_vector().get(ReplicaId::new(1)), 3, "each reading has sealed");
}

#[test]
fn what_arrives_while_a_window_is_open_is_not_removed_by_what_was_done_before() {
    let mut t = Tale::new(2);
    t.sadd('a', "k", "x");
    t.give('a', 'b');
    t.sadd('b', "k", "y");
    t.del('a', "k");
    t.give('b', 'a'); // A's window is still open
    assert_eq!(t.shown('a', "k"), Shown::set(["y"]));
    t.heal("k", &Shown::set(["y"]));
}

#[test]
fn an_assignment_takes_the_sealed_increment_that_an_open_one_had_replaced() {
    let mut t = Tale::new(2);
    t.incr('a', "k", 1);
    t.give('a', 'b');
    t.incr('a', "k", 1);
    t.set('a', "k", "5");
    t.heal("k", &Shown::text("5"));
}

#[test]
fn what_a_window_removes_and_writes_again_is_there() {
    let mut t = Tale::new(2);
    t.sadd('a', "k", "x");
    t.give('a', 'b');
    t.del('a', "k");
    t.sadd('a', "k", "x");
    t.give('a', 'b');
    assert_eq!(t.shown('b', "k"), Shown::set(["x"]));
    t.heal("k", &Shown::set(["x"]));
}

#[test]
fn an_assignment_taken_back_leaves_removed_what_it_had_seen() {
    let mut t = Tale::new(3);
    t.sadd('a', "k", "x");
    t.give('a', 'b');
    t.sadd('b', "k", "x");
    t.srem('b', "k", "x");
    t.heal("k", &Shown::Nothing);
}

#[test]
fn an_assignment_made_again_in_its_window_supersedes_what_the_first_one_did() {
    let mut t = Tale::new(3);
    t.set('a', "k", "1");
    t.give('a', 'b');
    t.set('b', "k", "2");
    t.set('b', "k", "3");
    t.heal("k", &Shown::text("3"));
}

#[test]
fn an_assignment_made_again_supersedes_what_both_had_seen() {
    let mut t = Tale::new(3);
    t.sadd('a', "k", "x");
    t.give('a', 'b');
    t.sadd('b', "k", "x");
    t.sadd('c', "k", "x");
    t.give('c', 'b'); // B's window is still open
    t.sadd('b', "k", "x");
    t.heal("k", &Shown::set(["x"]));
}

#[test]
fn an_increment_after_a_reset_counts_anew_wherever_the_reset_is_known() {
    let mut t = Tale::new(3);
    t.incr('a', "k", 10);
    t.give('a', 'b');
    t.del('b', "k");
    t.give('b', 'a');
    t.incr('a', "k", 3);
    t.give('a', 'b');
    assert_eq!(t.shown('b', "k"), Shown::text("3"));
    t.give('a', 'c');
    t.heal("k", &Shown::text("3"));
}

#[test]
fn of_two_resets_of_one_slot_the_one_that_saw_more_counts() {
    let mut t = Tale::new(4);
    t.incr('a', "k", 10);
    t.give('a', 'b');
    t.give('a', 'c');
    t.incr('a', "k", 5);
    t.give('a', 'c');
    t.incr('a', "k", 1);
    t.del('b', "k"); // saw 10
    t.del('c', "k"); // saw 15
    t.seal('c');
    for to in ['d', 'a'] {
        t.give('a', to);
        t.give('c', to);
        t.give('b', to);
        assert_eq!(t.shown(to, "k"), Shown::text("1"), "at {to}");
    }
    t.heal("k", &Shown::text("1"));
}

#[test]
fn a_baseline_is_kept_until_its_owner_has_the_reset_and_all_it_wrote_before_is_here() {
    let mut t = Tale::new(3);
    t.incr('b', "k", 4);
    t.give('b', 'a');
    t.give('b', 'c');
    t.del('a', "k");
    t.give('a', 'c');
    t.ack('b', 'c'); // B does not know of the reset yet
    t.incr('b', "k", 1);
    t.seal('b');
    t.give('a', 'b');
    t.ack('b', 'c'); // now it does; but its increment has not arrived
    t.give('b', 'c');
    assert_eq!(t.shown('c', "k"), Shown::text("1"));
    t.heal("k", &Shown::text("1"));
}

#[test]
fn an_event_that_a_transfer_brought_to_some_buckets_is_applied_in_the_others_only() {
    let mut t = Tale::new(3);
    t.group('a', &[("k", Action::Add(5)), ("l", Action::Add(5))]);
    t.ask('a', 'b', "k");
    t.arrive();
    t.del('b', "k");
    t.seal('b');
    t.give('a', 'b'); // k has it, and more; l has not
    assert_eq!(t.shown('b', "k"), Shown::Nothing);
    assert_eq!(t.shown('b', "l"), Shown::text("5"));
    t.heal("k", &Shown::Nothing);
}

/// With positions that count up from what is there, y would be put where x was, and be hidden behind the write to that.
#[test]
fn an_element_never_takes_the_place_of_one_that_is_gone() {
    let mut t = Tale::new(2);
    t.rpush('a', "l", "x");
    t.give('a', 'b');
    t.pop('a', "l", ListEnd::Right);
    t.lpush('a', "l", "again");
    t.lset('b', "l", 0, "written");
    t.rpush('a', "l", "y");
    t.heal("l", &Shown::list(["again", "written", "y"]));
}

#[test]
fn elements_put_in_at_one_place_stand_there_by_time_and_those_of_one_command_together() {
    let mut t = Tale::new(2);
    t.rpush('a', "l", "first last");
    t.give('a', 'b');
    t.lpush('a', "l", "a b");
    t.lpush('b', "l", "c d");
    t.linsert('a', "l", 3, ListEnd::Left, "x");
    t.linsert('b', "l", 2, ListEnd::Right, "y");
    t.heal("l", &Shown::list(["d", "c", "b", "a", "first", "y", "x", "last"]));
}

#[test]
fn an_element_that_two_write_is_there_once_and_where_it_was() {
    let mut t = Tale::new(2);
    t.rpush('a', "l", "x y z");
    t.give('a', 'b');
    t.lset('a', "l", 1, "a");
    t.lset('b', "l", 1, "b");
    t.heal("l", &Shown::list(["x", "b", "z"]));
    t.pop('a', "l", ListEnd::Left);
    t.lset('b', "l", 0, "kept");
    t.heal("l", &Shown::list(["kept", "b", "z"]));
}

/// Each is the model's counterexample to a rule less.
#[test]
fn fields_end_by_the_rules_whatever_is_done_to_them_at_once() {
    // An increment ends with the field that it was added to, though that was removed.
    let mut t = Tale::new(2);
    t.hset('b', "h", "g", "stays");
    t.hset('b', "h", "f", "1");
    t.hexpire('b', "h", "f", 10);
    t.give('b', 'a');
    t.hincr('a', "h", "f", 1);
    t.hdel('b', "h", "f");
    assert_eq!(t.shown('a', "h"), Shown::hash([("f", "2"), ("g", "stays")]));
    t.pass(20);
    t.heal("h", &Shown::hash([("g", "stays")]));

    // A field that begins anew has no deadline.
    let mut t = Tale::new(2);
    t.hset('a', "h", "f", "1");
    t.give('a', 'b');
    t.hexpire('b', "h", "f", 10);
    t.del('a', "h");
    t.give('b', 'a');
    t.hincr('a', "h", "f", 3);
    t.pass(20);
    t.heal("h", &Shown::hash([("f", "3")]));

    // An assignment says that its field never ends, to a deadline set elsewhere before it.
    let mut t = Tale::new(2);
    t.hset('a', "h", "f", "v");
    t.hexpire('a', "h", "f", 10);
    t.pass(1);
    t.hset('b', "h", "f", "w");
    t.pass(20);
    t.heal("h", &Shown::hash([("f", "w")]));

    // What was added ends with the key, though its field is to live longer.
    let mut t = Tale::new(2);
    t.hincr('b', "h", "f", 1);
    t.expire('b', "h", 10);
    t.give('b', 'a');
    t.hexpire('a', "h", "f", 100);
    t.hincr('a', "h", "f", 1);
    t.hset('b', "h", "g", "1");
    t.pass(20);
    t.heal("h", &Shown::Nothing);
}

#[test]
fn the_oracle_knows_which_keys_share_a_bucket() {
    for key in (0..200).map(|number| format!("key{number}")) {
        assert_eq!(oracle::bucket_of(key.as_bytes()), bucket_of(&key));
    }
}

/// All orders of six things, by Heap's algorithm.
fn permutations<T: Copy>(items: &[T; 6]) -> Vec<[T; 6]> {
    fn heap<T: Copy>(length: usize, items: &mut [T; 6], all: &mut Vec<[T; 6]>) {
        if length <= 1 {
            all.push(*items);
            return;
        }
        for at in 0..length {
            heap(length - 1, items, all);
            items.swap(if length.is_multiple_of(2) { at } else { 0 }, length - 1);
        }
    }
    let (mut items, mut all) = (*items, Vec::new());
    heap(6, &mut items, &mut all);
    all
}
