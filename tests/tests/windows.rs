//! Every short history inside one flush window: what an assignment supersedes, what takes it back, and what arrives in
//! the middle must all come out in the one event, also if that is moved to another id before anybody hears of it.
//! `CAHOOTS_WINDOW_DEPTH=n` plays longer ones.

use cahoots_tests::commands::{Commands, number};
use cahoots_tests::exchange::{Step, Tale};
use cahoots_tests::oracle::Action;

const KEY: &str = "k";
/// What happens one after the other, beginning with an open window.
const DEPTH: usize = 2;

/// What may happen at the replica with the open window.
#[derive(Clone, Debug)]
enum Move {
    Run(Action),
    /// FLUSHALL.
    Clear,
    /// The window ends here, and another begins.
    Seal,
    /// An event of a third replica, which has seen the cells of the second too, arrives.
    Arrive,
}

/// How the replica with the open window stands.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Standing {
    Certain,
    /// Its id is in doubt from the beginning, and changes in the end.
    New,
    /// The same, and it had written under that id before.
    Old,
}

/// What lies under the key before, and what is done with it.
struct Story {
    own: Vec<Action>,
    foreign: Vec<Action>,
    /// What the third replica does.
    third: Vec<Action>,
    moves: Vec<Move>,
}

fn play(story: &Story, third: &Action, moves: &[Move], standing: Standing) {
    let mut t = Tale::new(4);
    let all = |t: &mut Tale, at: char, actions: &[Action]| {
        let group: Vec<_> = actions.iter().map(|action| (KEY, action.clone())).collect();
        drop(t.group(at, &group));
    };
    if standing != Standing::New {
        all(&mut t, 'a', &story.own);
        ['b', 'c'].into_iter().for_each(|to| t.give('a', to));
    }
    all(&mut t, 'b', &story.foreign);
    ['a', 'c'].into_iter().for_each(|to| t.give('b', to));
    all(&mut t, 'c', std::slice::from_ref(third));
    if standing != Standing::Certain {
        t.doubt('a');
    }
    for it in moves {
        match it {
            Move::Run(action) => all(&mut t, 'a', std::slice::from_ref(action)),
            Move::Clear => t.world.take(&Step::Clear(number('a'))),
            Move::Seal => t.seal('a'),
            Move::Arrive => t.give('c', 'a'),
        }
    }
    if standing != Standing::Certain {
        t.rename('a');
    }
    t.give('a', 'c');
    t.world.heal();
    let shown = t.shown('a', KEY);
    ['b', 'c', 'd'].into_iter().for_each(|at| assert_eq!(t.shown(at, KEY), shown));
}

fn play_all(story: &Story) {
    let depth = std::env::var("CAHOOTS_WINDOW_DEPTH").map_or(DEPTH, |depth| depth.parse().expect("a number"));
    let mut at = vec![0; depth];
    loop {
        let moves: Vec<Move> = at.iter().map(|&it| story.moves[it].clone()).collect();
        for third in &story.third {
            for standing in [Standing::Certain, Standing::New, Standing::Old] {
                let played = cahoots_tests::attempt(|| play(story, third, &moves, standing));
                played.unwrap_or_else(|why| panic!("{why}\n  {standing:?}, {moves:?}, third {third:?}"));
            }
        }
        let Some(place) = at.iter().rposition(|&it| it + 1 < story.moves.len()) else { return };
        at[place] += 1;
        at[place + 1..].fill(0);
    }
}

fn set(value: &str) -> Action {
    Action::Set(value.into())
}

/// What is done with a text, of which there is this before.
fn text(own: Vec<Action>, foreign: Vec<Action>) -> Story {
    Story {
        own,
        foreign,
        third: vec![set("100"), Action::Add(100), Action::Delete],
        moves: vec![
            Move::Run(set("1000")),
            Move::Run(Action::Add(1000)),
            Move::Run(Action::Delete),
            Move::Clear,
            Move::Seal,
            Move::Arrive,
        ],
    }
}

#[test]
fn every_short_window_of_a_text_ends_as_it_must() {
    play_all(&text(vec![set("1"), Action::Add(1)], vec![set("10"), Action::Add(10)]));
}

#[test]
fn every_short_window_of_a_counter_ends_as_it_must() {
    play_all(&text(vec![Action::Add(1)], vec![Action::Add(10)]));
}

#[test]
fn every_short_window_of_a_set_ends_as_it_must() {
    let [add, remove] = [Action::AddMember("x".into()), Action::RemoveMember("x".into())];
    play_all(&Story {
        own: vec![add.clone()],
        foreign: vec![add.clone(), Action::AddMember("y".into())],
        third: vec![add.clone(), remove.clone(), set("1")],
        moves: vec![
            Move::Run(add),
            Move::Run(remove),
            Move::Run(Action::Delete),
            Move::Run(set("2")),
            Move::Clear,
            Move::Seal,
            Move::Arrive,
        ],
    });
}

#[test]
fn every_short_window_of_a_hash_ends_as_it_must() {
    let assign = |value: &str| Action::SetField("f".into(), value.into());
    let add = |delta| Action::AddField("f".into(), delta);
    let remove = || Action::RemoveField("f".into());
    play_all(&Story {
        own: vec![assign("1"), add(1)],
        foreign: vec![assign("10"), add(10)],
        third: vec![assign("100"), add(100), remove()],
        moves: vec![
            Move::Run(assign("1000")),
            Move::Run(add(1000)),
            Move::Run(remove()),
            Move::Run(Action::Delete),
            Move::Run(set("2")),
            Move::Clear,
            Move::Seal,
            Move::Arrive,
        ],
    });
}

#[test]
fn every_short_window_of_ballots_ends_as_it_must() {
    let second = Tale::new(2).id('b');
    let cast = |ballot: &str| Action::Cast(ballot.into());
    play_all(&Story {
        own: vec![cast("1")],
        foreign: vec![cast("10")],
        third: vec![cast("100"), Action::Delete, Action::Discard(second)],
        moves: vec![
            Move::Run(cast("1000")),
            Move::Run(Action::Withdraw),
            Move::Run(Action::Discard(second)),
            Move::Run(Action::Delete),
            Move::Run(set("2")),
            Move::Clear,
            Move::Seal,
            Move::Arrive,
        ],
    });
}
