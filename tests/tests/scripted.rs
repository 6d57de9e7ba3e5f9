//! Histories told by hand on the real engine: every datagram waits until the script says that it arrives.

use cahoots_gossip::engine::ReplicaConfig;
use cahoots_tests::client::Reply;
use cahoots_tests::commands::Commands;
use cahoots_tests::oracle::{Action, Shown};
use cahoots_tests::sim::Script;

#[test]
fn ten_everywhere_one_deletes_another_adds_one_and_the_result_is_one() {
    let mut s = Script::new(2);
    s.incr('a', "k", 10);
    s.sync('a', 'b');
    assert_eq!(s.shown('b', "k"), Shown::text("10"));
    s.del('a', "k");
    s.incr('b', "k", 1);
    s.heal("k", &Shown::text("1"));
}

#[test]
fn a_missing_key_is_nothing_and_looking_at_it_makes_none() {
    let mut s = Script::new(2);
    assert_eq!(s.shown('a', "k"), Shown::Nothing);
    s.seal('a');
    assert_eq!(s.world.process(0).engine.position(), 0);
    assert_eq!(s.world.process(0).engine.store().len(), 0);
    s.sadd('a', "other", "x");
    s.heal("k", &Shown::Nothing);
}

#[test]
fn one_group_arrives_as_one_event_and_a_no_op_as_none() {
    let mut s = Script::new(2);
    let replies = s.group(
        'a',
        &[
            ("text", Action::Set("1".into())),
            ("set", Action::AddMember("x".into())),
            ("set", Action::RemoveMember("y".into())),
            ("hash", Action::AddField("n".into(), 3)),
        ],
    );
    assert_eq!(replies, [Reply::Done, Reply::Done, Reply::Idle, Reply::Done]);
    s.sync('a', 'b');
    assert_eq!(s.shown('b', "text"), Shown::text("1"));
    assert_eq!(s.shown('b', "set"), Shown::set(["x"]));
    assert_eq!(s.shown('b', "hash"), Shown::hash([("n", "3")]));
    assert_eq!(s.world.process(1).engine.store().version_vector().iter().map(|(_, seq)| seq).collect::<Vec<_>>(), [1]);
    let replies = s.group('a', &[("set", Action::RemoveMember("y".into())), ("nothing", Action::Delete)]);
    assert_eq!(replies, [Reply::Idle, Reply::Idle]);
    assert_eq!(s.world.process(0).engine.position(), 1);
}

#[test]
fn concurrent_increments_and_decrements_sum_up_exactly_and_may_go_below_zero() {
    let mut s = Script::new(3);
    s.set('a', "k", "42");
    s.sync('a', 'b');
    s.deliver('a', 'c');
    (1..=3).for_each(|delta| s.incr('b', "k", delta));
    s.incr('c', "k", -1);
    s.incr('a', "below", -5);
    s.incr('b', "below", 2);
    s.heal("k", &Shown::text("47"));
    s.heal("below", &Shown::text("-3"));
}

#[test]
fn a_sum_beyond_64_bits_is_refused_where_it_is_asked_for_and_shown_where_it_happened_unasked() {
    let mut s = Script::new(2);
    s.incr('a', "k", i64::MAX);
    assert_eq!(s.group('a', &[("k", Action::Add(1))]), [Reply::Refused]);
    assert_eq!(s.shown('a', "k"), Shown::text("9223372036854775807"));
    s.incr('b', "k", 1);
    s.heal("k", &Shown::text("9223372036854775808"));
    assert_eq!(s.group('b', &[("k", Action::Add(-1))]), [Reply::Refused], "no wrap, either way");
    s.set('b', "k", "7");
    s.heal("k", &Shown::text("7"));
}

#[test]
fn a_counter_removed_while_another_adds_keeps_what_was_added() {
    let mut s = Script::new(2);
    s.incr('a', "k", 100);
    s.hincr('a', "h", "n", 100);
    s.sync('a', 'b');
    s.incr('b', "k", 7);
    s.hincr('b', "h", "n", 7);
    s.del('a', "k");
    s.hdel('a', "h", "n");
    s.heal("k", &Shown::text("7"));
    s.heal("h", &Shown::hash([("n", "7")]));
}

#[test]
fn an_add_survives_a_concurrent_clear_and_a_remove_takes_only_what_it_saw() {
    let mut s = Script::new(2);
    s.sadd('a', "s", "x");
    s.sadd('a', "s", "y");
    s.sync('a', 'b');
    s.del('a', "s");
    s.sadd('b', "s", "y"); // present already, asserted anew
    s.sadd('b', "s", "z");
    s.heal("s", &Shown::set(["y", "z"]));
    s.srem('a', "s", "z");
    s.sadd('a', "s", "z");
    s.heal("s", &Shown::set(["y", "z"]));
}

#[test]
fn of_two_assignments_at_one_instant_all_choose_the_same() {
    let mut s = Script::new(3);
    s.set('a', "k", "of a");
    s.set('b', "k", "of b");
    s.set('c', "k", "of c");
    let ids = [0, 1, 2].map(|host| (s.world.process(host).engine.id(), host));
    let winner = ids.iter().max().unwrap().1;
    // All three ran at one virtual instant: the replica id decides.
    s.heal("k", &Shown::text(["of a", "of b", "of c"][winner]));
}

#[test]
fn a_key_deleted_is_usable_at_once_as_anything() {
    let mut s = Script::new(2);
    s.hset('a', "k", "f", "old");
    s.sync('a', 'b');
    s.del('b', "k");
    s.sadd('b', "k", "x");
    s.sync('b', 'a');
    assert_eq!(s.shown('a', "k"), Shown::set(["x"]));
    s.del('a', "k");
    s.hset('a', "k", "f", "new");
    s.heal("k", &Shown::hash([("f", "new")]));
}

#[test]
fn what_names_a_removal_waits_for_it_on_the_wire_too() {
    // C adds y; A removes it; B, who has seen both, writes on. D hears B first, then C, and A last.
    let mut s = Script::new(4);
    s.sadd('c', "k", "y");
    s.sync('c', 'a');
    s.srem('a', "k", "y");
    s.seal('a');
    s.deliver('c', 'b');
    s.deliver('a', 'b');
    s.sadd('b', "k", "y");
    s.srem('b', "k", "y");
    s.set('b', "k", "1");
    s.sync('b', 'd');
    assert_eq!(s.shown('d', "k"), Shown::Nothing);
    s.deliver('c', 'd');
    assert_eq!(s.shown('d', "k"), Shown::set(["y"]), "of B and A nothing is applied yet");
    s.deliver('a', 'd');
    assert_eq!(s.shown('d', "k"), Shown::text("1"), "what waited is applied with what it waited for");
    assert!(s.world.status(3).counters.events_held > 0);
    s.heal("k", &Shown::text("1"));
}

#[test]
fn an_event_that_never_got_out_is_lost_with_its_writer_and_blocks_nobody() {
    let mut s = Script::new(3);
    s.sadd('c', "k", "y");
    s.sync('c', 'a');
    s.set('a', "k", "1");
    s.sync('a', 'b');
    assert_eq!(s.shown('b', "k"), Shown::Nothing, "it waits for C's event, which B has not");
    s.crash('c');
    s.crash('a');
    s.lose_all();
    s.sadd('b', "k", "x");
    s.start('a');
    s.heal("k", &Shown::set(["x"]));
    s.world.advance(120_000_000);
    assert_eq!(s.world.status(1).held_bytes, 0, "nor is it kept for ever");
}

#[test]
fn a_replica_away_beyond_every_log_is_reconciled_exactly() {
    let mut config = ReplicaConfig::default();
    config.log_bytes_max = 0;
    let mut s = Script::with_config(3, config);
    s.incr('c', "k", 10);
    s.mingle("abc", 5_000_000);
    s.incr('c', "k", 1);
    s.seal('c');
    s.incr('c', "k", 1);
    s.seal('c');
    s.del('a', "k");
    s.incr('a', "k", 100);
    s.mingle("ab", 5_000_000);
    assert_eq!(s.shown('b', "k"), Shown::text("100"));
    s.heal("k", &Shown::text("102"));
    assert!(s.world.status(2).counters.reconciliations > 0);
}

#[test]
fn the_ack_of_a_reset_counts_what_the_owners_open_window_holds() {
    let mut s = Script::new(2);
    s.incr('b', "k", 4);
    s.sync('b', 'a');
    s.del('a', "k");
    s.incr('b', "k", 1); // not sealed, in the life the reset ends
    s.sync('a', 'b');
    s.mingle("ab", 0);
    s.heal("k", &Shown::text("1"));
}

#[test]
fn an_account_given_while_a_window_is_open_counts_what_is_in_it() {
    // B tells A that it knows of the reset while its window holds an increment of the life that the reset ended. If the
    // account named B's last sealed event, A would drop the baseline, and the increment would bring back what was reset.
    let mut config = ReplicaConfig::default();
    config.flush_gap_us = 60_000_000; // windows stay open
    let mut s = Script::with_config(2, config);
    s.incr('b', "k", 4);
    s.sync('b', 'a');
    s.world.advance(1_200_000); // a digest of B's is under way
    s.lose('a', 'b');
    s.del('a', "k");
    s.deliver('b', 'a'); // A asks for B's account
    s.incr('b', "k", 1);
    s.deliver('a', 'b'); // the reset, and the question behind it
    s.deliver('b', 'a');
    s.world.advance(1_200_000); // A clears up
    s.deliver('b', 'a');
    s.heal("k", &Shown::text("1"));
}

#[test]
fn an_ack_meant_for_a_process_that_died_is_not_taken_by_its_successor() {
    let mut s = Script::new(2);
    s.incr('b', "k", 1);
    s.sync('b', 'a');
    s.world.advance(10_000); // the ack is on its way to B's address
    s.crash('b');
    s.start('b');
    s.lose('b', 'a');
    s.incr('b', "k", 1);
    s.seal('b');
    s.deliver('a', 'b');
    assert!(s.world.tally().to_predecessor > 0);
    assert_eq!(s.world.process(1).engine.acked_by(1), 0, "nobody has the successor's first event");
    s.heal("k", &Shown::text("2"));
}
