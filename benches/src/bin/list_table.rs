//! Prints how the list of `cahoots-crdt` compares with the array of `yrs`, the text of `diamond-types`, and the array of
//! `dson`: times, memory, and whether runs that two replicas put in one place stay whole.
//!
//! `cargo run --release -p cahoots-benches --bin list-table`. All run in one process, one after the other for each row. A
//! time is the median of rounds, each on a list of its own. What one replica did alone must be in the order it asked for,
//! and what two did must be equal at both.

use std::time::Instant;

use cahoots_benches::live_bytes::{Counting, kept_by};
use cahoots_benches::sequences::{Diamond, Dson, Ours, Sequence, Yrs};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// `dson` looks at all elements for each insertion, so it is left out of the longer lists.
const SHORT: usize = 1_000;
const LONG: usize = 20_000;
const ROUNDS: usize = 5;

/// A figure, and whether the list was what it should be.
#[derive(Clone, Copy)]
struct Cell {
    value: f64,
    is_right: bool,
}

type Row = [Option<Cell>; 4];

/// Where the letter after `len` others goes.
type Places = fn(&mut Dice, usize) -> usize;

fn main() {
    println!(
        "| | {} | {} | {} | {} | {1} / {0} | {2} / {0} | {3} / {0} |",
        Ours::NAME,
        Yrs::NAME,
        Diamond::NAME,
        Dson::NAME
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    let kinds: [(&str, Places); 3] =
        [("at the end", |_, len| len), ("at the front", |_, _| 0), ("at random", |dice, len| dice.roll(len + 1))];
    for (place, places) in kinds {
        for len in [SHORT, LONG] {
            let ours = insertions::<Ours>(len, places);
            let (yrs, diamond) = (insertions::<Yrs>(len, places), insertions::<Diamond>(len, places));
            let dson = (len == SHORT).then(|| insertions::<Dson>(len, places));
            row(&format!("insert one, {place}, up to {len}"), [Some(ours), Some(yrs), Some(diamond), dson], nanos);
        }
    }
    let traces = [trace::<Ours>(), trace::<Yrs>(), trace::<Diamond>(), trace::<Dson>()];
    row("two editors, one edit and its part in the merges", traces.map(Some), nanos);
    for (place, places) in kinds {
        let memory = [memory::<Ours>(places), memory::<Yrs>(places), memory::<Diamond>(places), memory::<Dson>(places)];
        row(&format!("memory an element, {SHORT} inserted {place}"), memory.map(Some), bytes);
    }
    for (how, forwards) in [("forwards", true), ("backwards", false)] {
        let runs = [runs::<Ours>(forwards), runs::<Yrs>(forwards), runs::<Diamond>(forwards), runs::<Dson>(forwards)];
        let shown = runs.map(|runs| runs.to_string());
        println!(
            "| pieces that two runs of {RUN} are in, put one by one at one place, {how} | {} | | | |",
            shown.join(" | ")
        );
    }
}

/// Nanoseconds of an insertion.
fn insertions<S: Sequence>(len: usize, places: Places) -> Cell {
    median(|| {
        let (mut list, mut dice) = (S::new(0), Dice(1));
        let places: Vec<usize> = (0..len).map(|len| places(&mut dice, len)).collect();
        let start = Instant::now();
        for (place, letter) in places.iter().zip(letters()) {
            let _sent = list.insert(*place, letter);
        }
        let value = start.elapsed().as_nanos() as f64 / len as f64;
        let mut wanted = Vec::new();
        places.iter().zip(letters()).for_each(|(place, letter)| wanted.insert(*place, letter));
        Cell { value, is_right: list.letters() == wanted }
    })
}

fn memory<S: Sequence>(places: Places) -> Cell {
    let mut dice = Dice(1);
    let places: Vec<usize> = (0..SHORT).map(|len| places(&mut dice, len)).collect();
    let kept = kept_by(|| {
        let mut list = S::new(0);
        for (place, letter) in places.iter().zip(letters()) {
            let _sent = list.insert(*place, letter);
        }
        list
    });
    Cell { value: kept as f64 / SHORT as f64, is_right: true }
}

/// Edits of each editor between two merges, and how often they merge.
const EDITS: usize = 25;
const MERGES: usize = 40;

/// Nanoseconds of an edit: two editors go on with one list at a cursor each, which jumps after each merge; a fifth of their
/// edits removes the letter before it.
fn trace<S: Sequence>() -> Cell {
    median(|| {
        let (mut a, mut b, mut dice) = (S::new(0), S::new(1), Dice(1));
        let sent = letters().take(SHORT).enumerate().map(|(at, letter)| a.insert(at, letter)).collect();
        b.merge(&a, sent);
        let mut len = SHORT;
        let start = Instant::now();
        for _ in 0..MERGES {
            let mut edit = |list: &mut S, letter: u8| {
                let (mut cursor, mut here) = (1 + dice.roll(len), len);
                let edits = (0..EDITS).map(|_| {
                    if dice.roll(5) == 0 && cursor > 0 {
                        (cursor, here) = (cursor - 1, here - 1);
                        return list.remove(cursor);
                    }
                    (cursor, here) = (cursor + 1, here + 1);
                    list.insert(cursor - 1, letter)
                });
                edits.collect::<Vec<_>>()
            };
            let (from_a, from_b) = (edit(&mut a, b'a'), edit(&mut b, b'b'));
            b.merge(&a, from_a);
            a.merge(&b, from_b);
            len = a.letters().len();
        }
        let value = start.elapsed().as_nanos() as f64 / (2 * EDITS * MERGES) as f64;
        Cell { value, is_right: a.letters() == b.letters() }
    })
}

/// Letters that each of two replicas puts at the same place.
const RUN: usize = 20;

/// Into how many pieces two runs are mixed that two replicas type in the same place at the same time. 2: not at all.
fn runs<S: Sequence>(forwards: bool) -> usize {
    let (mut a, mut b) = (S::new(0), S::new(1));
    let sent = [a.insert(0, b'('), a.insert(1, b')')].into();
    b.merge(&a, sent);
    let (mut from_a, mut from_b) = (Vec::new(), Vec::new());
    for typed in 0..RUN {
        let at = if forwards { 1 + typed } else { 1 };
        from_a.push(a.insert(at, b'a'));
        from_b.push(b.insert(at, b'b'));
    }
    b.merge(&a, from_a);
    a.merge(&b, from_b);
    let letters = a.letters();
    assert_eq!(letters, b.letters(), "{}", S::NAME);
    letters.chunk_by(|a, b| a == b).count() - 2
}

fn letters() -> impl Iterator<Item = u8> {
    (b'a'..=b'z').cycle()
}

/// Numbers without a pattern, the same in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % sides
    }
}

fn median(mut round: impl FnMut() -> Cell) -> Cell {
    let mut cells: Vec<Cell> = (0..ROUNDS).map(|_| round()).collect();
    cells.sort_unstable_by(|a, b| a.value.total_cmp(&b.value));
    Cell { is_right: cells.iter().all(|cell| cell.is_right), ..cells[ROUNDS / 2] }
}

fn nanos(value: f64) -> String {
    match value {
        ..1e3 => format!("{value:.0} ns"),
        1e3..1e6 => format!("{:.1} us", value / 1e3),
        _ => format!("{:.1} ms", value / 1e6),
    }
}

fn bytes(value: f64) -> String {
    format!("{value:.0} B")
}

fn row(what: &str, cells: Row, told: fn(f64) -> String) {
    let shown = cells.map(|cell| match cell {
        Some(Cell { value, is_right: true }) => told(value),
        Some(Cell { value, .. }) => format!("{}, order lost", told(value)),
        None => String::new(),
    });
    let ratios = [1, 2, 3].map(|rival| match (cells[0], cells[rival]) {
        (Some(ours), Some(rival)) => format!("{:.2}", rival.value / ours.value),
        _ => String::new(),
    });
    println!("| {what} | {} | {} |", shown.join(" | "), ratios.join(" | "));
}
