//! LATENCY: what took long, and how long commands take.

use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use super::{Args, Command, CommandError, Context, Flow, Outcome, Reply};
use crate::command::table;
use crate::state::{CommandStats, Series};

/// Columns and rows of a graph.
const COLUMNS: usize = 80;
const ROWS: usize = 4;
/// What fills a row by thirds.
const THIRDS: [char; 3] = ['_', 'o', '#'];

pub(super) fn latest(ctx: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let events = ctx.server.latency.all();
    reply.array(events.len());
    for (name, series) in events {
        let last = series.samples.back().copied();
        reply.array(4);
        reply.bulk(name.as_bytes());
        for number in [last.map_or(0, |it| it.at), last.map_or(0, |it| it.millis), series.worst] {
            reply.integer(number.cast_signed());
        }
    }
    Ok(Flow::Continue)
}

pub(super) fn history(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let samples = ctx.server.latency.of(&args[2]).map(|(_, series)| series.samples).unwrap_or_default();
    reply.array(samples.len());
    for sample in samples {
        reply.array(2);
        reply.integer(sample.at.cast_signed());
        reply.integer(sample.millis.cast_signed());
    }
    Ok(Flow::Continue)
}

pub(super) fn reset(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let latency = &ctx.server.latency;
    let events = args.from(2);
    reply.count(match events.is_empty() {
        true => latency.forget(None),
        false => events.iter().map(|event| latency.forget(Some(event))).sum(),
    });
    Ok(Flow::Continue)
}

pub(super) fn graph(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let Some((name, series)) = ctx.server.latency.of(&args[2]) else {
        let event = String::from_utf8_lossy(&args[2]);
        return Err(CommandError::Other(format!("ERR No samples available for event '{event}'").into()));
    };
    reply.verbatim(&drawn(name, &series, seconds_now()));
    Ok(Flow::Continue)
}

fn seconds_now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The samples as columns of characters, each with its age under it, from top to bottom.
fn drawn(name: &str, series: &Series, now: u64) -> String {
    let values: Vec<u64> = series.samples.iter().map(|it| it.millis).collect();
    let (low, high) = (values.iter().min().copied().unwrap_or(0), values.iter().max().copied().unwrap_or(0));
    let mut graph =
        format!("{name} - high {high} ms, low {low} ms (all time high {} ms)\n{}\n", series.worst, "-".repeat(COLUMNS));
    let steps = (ROWS * THIRDS.len()) as u64;
    let columns: Vec<(usize, Vec<char>)> = series
        .samples
        .iter()
        .map(|sample| {
            let step = ((sample.millis - low) * steps / (high - low).max(1)).min(steps - 1);
            (usize::try_from(step).unwrap_or(0), age(now.saturating_sub(sample.at)).chars().collect())
        })
        .collect();
    for (at, part) in columns.chunks(COLUMNS).enumerate() {
        if at > 0 {
            graph.push('\n');
        }
        for row in 0..ROWS {
            let below = (ROWS - row - 1) * THIRDS.len();
            graph.extend(part.iter().map(|(step, _)| match step.checked_sub(below) {
                None => ' ',
                Some(third) => THIRDS.get(third).copied().unwrap_or('|'),
            }));
            graph.push('\n');
        }
        graph.extend(part.iter().map(|_| ' '));
        graph.push('\n');
        for line in 0..part.iter().map(|(_, age)| age.len()).max().unwrap_or(0) {
            graph.extend(part.iter().map(|(_, age)| age.get(line).copied().unwrap_or(' ')));
            graph.push('\n');
        }
    }
    graph
}

fn age(seconds: u64) -> String {
    match seconds {
        ..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

pub(super) fn doctor(ctx: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let latency = &ctx.server.latency;
    let events = latency.all();
    if events.is_empty() && latency.threshold() == 0 {
        reply.verbatim(
            "I'm sorry, Dave, I can't do that. Latency monitoring is disabled in this Redis instance. You may use \"CONFIG SET \
             latency-monitor-threshold <milliseconds>.\" in order to enable it. If we weren't in a deep space mission I'd suggest to \
             take a look at https://redis.io/topics/latency-monitor.\n",
        );
        return Ok(Flow::Continue);
    }
    if events.is_empty() {
        reply.verbatim("Dave, nothing has taken as long as latency-monitor-threshold says.\n");
        return Ok(Flow::Continue);
    }
    let mut report = "Dave, these have taken as long as latency-monitor-threshold says, or longer:\n\n".to_owned();
    for (at, (name, series)) in events.iter().enumerate() {
        let count = series.samples.len() as u64;
        let mean = series.samples.iter().map(|it| it.millis).sum::<u64>() / count.max(1);
        let deviation = series.samples.iter().map(|it| it.millis.abs_diff(mean)).sum::<u64>() / count.max(1);
        let since = series.samples.front().map_or(0, |first| seconds_now().saturating_sub(first.at)).max(1);
        // Formatting into a String cannot fail.
        let _ = writeln!(
            report,
            "{}. {name}: {count} latency spikes (average {mean}ms, mean deviation {deviation}ms, period {}.{:02} sec). Worst all \
             time event {}ms.",
            at + 1,
            since / count.max(1),
            since * 100 / count.max(1) % 100,
            series.worst
        );
    }
    let slower_than = ctx.server.slowlog.slower_than.load(Relaxed);
    report.push_str("\nWhat helps:\n\n- SLOWLOG GET tells which commands they were");
    report.push_str(match u64::try_from(slower_than) {
        Err(_) => ", once slowlog-log-slower-than is not negative.\n",
        Ok(micros) if micros / 1_000 > latency.threshold() => {
            ", once slowlog-log-slower-than is as low as latency-monitor-threshold.\n"
        }
        Ok(_) => ".\n",
    });
    report.push_str("- A command on a large key takes long: MEMORY USAGE finds them. Smaller keys, or SCAN and its kin, take less at once.\n");
    if events.iter().any(|(name, _)| *name == "fast-command") {
        report.push_str("- Commands that take constant time wait for the machine: look what else runs on it.\n");
    }
    reply.verbatim(&report);
    Ok(Flow::Continue)
}

pub(super) fn histogram(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let stats = &ctx.server.command_stats;
    let mut wanted: Vec<&'static Command> = Vec::new();
    if args.len() == 2 {
        table::commands().for_each(|command| wanted.extend(std::iter::once(command).chain(command.subcommands)));
    }
    for command in args.from(2).iter().filter_map(table::by_full_name) {
        wanted.extend(std::iter::once(command).chain(command.subcommands));
    }
    reply.map_of(|fields| {
        for command in wanted {
            let Some((calls, histogram)) = counted(stats, command) else { continue };
            fields.field(command.name).map_of(|fields| {
                fields.count("calls", calls);
                let micros = fields.field("histogram_usec");
                micros.map(histogram.len());
                for (micro, count) in histogram {
                    micros.integer(micro.cast_signed());
                    micros.integer(count.cast_signed());
                }
            });
        }
    });
    Ok(Flow::Continue)
}

/// How many calls are in the histogram of a command, and that; if there is one.
fn counted(stats: &CommandStats, command: &Command) -> Option<(u64, Vec<(u64, u64)>)> {
    let histogram = stats.command(table::number(command)?)?.histogram();
    Some((histogram.last()?.1, histogram))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Sample;

    #[test]
    fn a_graph_fills_columns_by_thirds_of_rows_and_tells_ages_under_them() {
        let samples = [(60, 2), (115, 7), (119, 14)].map(|(at, millis)| Sample { at, millis });
        let series = Series { samples: samples.into(), worst: 20 };
        let graph = drawn("command", &series, 120);
        let lines: Vec<&str> = graph.lines().collect();
        assert_eq!(lines[0], "command - high 14 ms, low 2 ms (all time high 20 ms)");
        assert_eq!(lines[1].len(), COLUMNS);
        assert_eq!(lines[2..], ["  #", "  |", " #|", "_||", "   ", "151", "mss"]);
    }
}
