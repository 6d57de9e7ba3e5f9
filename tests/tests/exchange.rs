//! Random histories between bare stores, judged after every step.
//!
//! `CAHOOTS_EXCHANGE_SEED=n` repeats one history, `CAHOOTS_EXCHANGE_SEEDS=n` runs that many. A failing one is cut
//! down to what it needs before it is shown, unless `CAHOOTS_EXCHANGE_COUNT` is set: then failures are only counted.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use cahoots_tests::client::Request;
use cahoots_tests::exchange::{Mix, Step, World, attempt, draw, shrink};
use cahoots_tests::oracle::Action;

const FIRST_SEED: u64 = 1;
const SEEDS: u64 = 3_000;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

fn run_seed(seed: u64) -> Result<[u64; 6], String> {
    let mix = draw(seed);
    attempt(&mix).map_err(|failure| {
        if std::env::var_os("CAHOOTS_EXCHANGE_COUNT").is_some() {
            return failure;
        }
        let (short, failure) = shrink(mix, failure);
        let steps: String = short.steps.iter().map(|step| format!("    {step:?}\n")).collect();
        format!(
            "{failure}\n  {} replicas, windows of {} bytes\n{steps}repeat: CAHOOTS_EXCHANGE_SEED={seed} cargo test -p cahoots-tests --test exchange",
            short.replicas, short.window_bytes_max
        )
    })
}

#[test]
fn stores_show_what_the_history_says_whatever_reaches_them_in_whatever_order() {
    if let Some(seed) = number("CAHOOTS_EXCHANGE_SEED") {
        println!("{:?}", run_seed(seed).unwrap_or_else(|failure| panic!("{failure}")));
        return;
    }
    let seeds = number("CAHOOTS_EXCHANGE_SEEDS").unwrap_or(SEEDS);
    let count = std::env::var_os("CAHOOTS_EXCHANGE_COUNT").is_some();
    let next = AtomicU64::new(0);
    let totals = Mutex::new([0_u64; 6]);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= seeds || (!count && failures.lock().unwrap().len() > 2) {
                        break;
                    }
                    match run_seed(FIRST_SEED + at) {
                        Ok(counts) => totals.lock().unwrap().iter_mut().zip(counts).for_each(|(sum, it)| *sum += it),
                        Err(failure) => failures.lock().unwrap().push(failure),
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} of {seeds} failed\n{}", failures.len(), failures.join("\n\n"));
    let [operations, joined, refined, stale, undecoded, collected] = totals.into_inner().unwrap();
    assert!(joined > refined && collected > 0, "transfers were joined and baselines dropped");
    assert!(refined > 0 && stale > 0 && undecoded > 0, "differences were joined, came too late, were too much to tell");
    println!(
        "{seeds} histories, {operations} operations, {joined} buckets joined, {refined} of them by their differences, \
         {stale} stale, {undecoded} sketches undecoded, {collected} baselines dropped"
    );
}

/// Every history of this many steps over a small alphabet: two replicas, one key.
fn exhaust(actions: &[Action], depth: usize) -> u64 {
    let mut alphabet = vec![Step::Seal(0), Step::Seal(1), Step::Transfer(0, 1), Step::Transfer(1, 0)];
    for at in 0..2 {
        alphabet.extend(actions.iter().map(|action| Step::Write(at, vec![Request(b"k".to_vec(), action.clone())])));
        alphabet.push(Step::SendAll(at, 1 - at));
        alphabet.push(Step::Ack(at, 1 - at));
    }
    let mut histories = 0;
    let mut at = vec![0; depth];
    loop {
        let steps: Vec<Step> = at.iter().map(|&letter| alphabet[letter].clone()).collect();
        // What begins without a write is a shorter history.
        if matches!(steps[0], Step::Write(0, _)) {
            histories += 1;
            let mix = Mix { replicas: 2, window_bytes_max: 1_000, steps };
            if let Err(failure) = attempt(&mix) {
                panic!("{failure}\n{:#?}", mix.steps);
            }
        }
        let Some(place) = at.iter().rposition(|&letter| letter + 1 < alphabet.len()) else { return histories };
        at[place] += 1;
        at[place + 1..].fill(0);
    }
}

#[test]
fn every_short_history_of_a_counter_and_its_deletion_ends_as_it_must() {
    let depth = number("CAHOOTS_EXCHANGE_DEPTH").map_or(4, |depth| usize::try_from(depth).unwrap());
    println!("{} histories", exhaust(&[Action::Add(1), Action::Delete], depth));
}

#[test]
fn every_short_history_of_a_set_ends_as_it_must() {
    let depth = number("CAHOOTS_EXCHANGE_DEPTH").map_or(4, |depth| usize::try_from(depth).unwrap());
    let (add, remove) = (Action::AddMember("x".into()), Action::RemoveMember("x".into()));
    println!("{} histories", exhaust(&[add, remove], depth));
}

#[test]
fn events_one_by_one_and_whole_states_lead_to_the_same_state() {
    for seed in 0..200 {
        // What is cut, lost or forgotten would leave the one that lives on events alone behind.
        let mut mix = draw(seed);
        mix.steps.retain(|step| !matches!(step, Step::Cut(..) | Step::Crash(_) | Step::Doubt(_)));
        let (by_events, by_state) = (mix.replicas, mix.replicas + 1);
        let mut world = World::new(mix.replicas + 2, mix.window_bytes_max);
        mix.steps.iter().for_each(|step| world.take(step));
        (0..mix.replicas).for_each(|from| world.take(&Step::Seal(from)));
        // Events name events of others: what is first in one log may wait for what is last in another.
        for _ in 0..20 {
            (0..mix.replicas).for_each(|from| world.take(&Step::SendAll(from, by_events)));
        }
        (0..mix.replicas).for_each(|from| world.take(&Step::Transfer(from, by_state)));
        assert!(world.equal(by_events, by_state), "seed {seed}");
    }
}
