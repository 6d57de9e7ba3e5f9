//! Seeded runs of whole clusters under faults, judged by an oracle.
//!
//! `CAHOOTS_SIM_SEED=n` repeats one run, `CAHOOTS_SIM_SEEDS=n` runs that many, `CAHOOTS_SIM_SHRINK=1` looks for a shorter
//! run that fails too.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use cahoots_tests::sim::{Plan, Report, attempt, shrink};

/// The first seed of every suite; the others follow it.
const FIRST_SEED: u64 = 20_261_121_000;
const SEEDS: u64 = 200;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

fn run_seed(seed: u64) -> Report {
    let plan = Plan::draw(seed);
    attempt(&plan).unwrap_or_else(|failure| {
        let replay = format!("CAHOOTS_SIM_SEED={seed} cargo test -p cahoots-tests --test simulation");
        if std::env::var_os("CAHOOTS_SIM_SHRINK").is_some() {
            let (short, failure) = shrink(plan, failure);
            let steps: String = short.steps.iter().map(|step| format!("    {step:?}\n")).collect();
            panic!(
                "{failure}\n  {} hosts, {:?}, {:?}\n{steps}repeat: {replay}",
                short.hosts, short.link, short.detection
            );
        }
        panic!("{failure}\nrepeat: {replay}");
    })
}

#[test]
fn clusters_under_faults_show_what_the_history_says_and_agree_after_healing() {
    if let Some(seed) = number("CAHOOTS_SIM_SEED") {
        println!("{:#?}", run_seed(seed));
        return;
    }
    let seeds = number("CAHOOTS_SIM_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(0);
    let reports = Mutex::new(Vec::new());
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= seeds {
                        break;
                    }
                    match std::panic::catch_unwind(|| run_seed(FIRST_SEED + at)) {
                        Ok(report) => reports.lock().unwrap().push(report),
                        Err(_) => failures.lock().unwrap().push(FIRST_SEED + at),
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} of {seeds} runs failed: {failures:?}", failures.len());
    let reports = reports.into_inner().unwrap();
    let sum = |count: fn(&Report) -> u64| reports.iter().map(count).sum::<u64>();
    assert!(sum(|it| it.weather.lost) > 0 && sum(|it| it.weather.cut) > 0, "datagrams were lost");
    assert!(sum(|it| it.weather.duplicated) > 0 && sum(|it| it.weather.overtaken) > 0, "datagrams came twice and late");
    assert!(sum(|it| it.weather.streams_failed) > 0, "streams broke");
    assert!(sum(|it| it.tally.refused) > 0, "damaged datagrams were refused");
    assert!(sum(|it| it.tally.crashes) > 0 && sum(|it| it.tally.stops) > 0, "processes were killed and stopped");
    for repair in [
        "gaps_asked",
        "wants_sent",
        "tails_probed",
        "versions_sent",
        "events_resent",
        "events_held",
        "events_assembled",
        "reconciliations",
        "buckets_joined",
        "buckets_refined",
        "differences_stale",
        "differences_undecoded",
        "asks_answered",
        "asks_failed",
        "asks_busy",
        "baselines_collected",
    ] {
        let ran: u64 = reports.iter().map(|it| it.tally.counters.get(repair).copied().unwrap_or(0)).sum();
        assert!(ran > 0, "{repair} never happened in {seeds} runs");
    }
    let of = |name| reports.iter().map(|it| it.tally.counters.get(name).copied().unwrap_or(0)).sum::<u64>();
    println!(
        "{} buckets joined, {} of them by their differences, {} stale, {} sketches undecoded",
        of("buckets_joined"),
        of("buckets_refined"),
        of("differences_stale"),
        of("differences_undecoded"),
    );
    let slowest = reports.iter().max_by_key(|it| it.healed_in).expect("there are runs");
    println!(
        "{} runs, {} operations, {} values judged, {} states compared, {} crashes, {} stops, slowest agreement {} us (seed {})",
        reports.len(),
        sum(|it| it.operations),
        sum(|it| it.tally.judged),
        sum(|it| it.states as u64),
        sum(|it| it.tally.crashes),
        sum(|it| it.tally.stops),
        slowest.healed_in,
        slowest.seed,
    );
}
