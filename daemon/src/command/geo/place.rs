//! Places by name: added, and told.

use super::area::metres_between;
use super::{
    Args, Cell, Class, CommandError, Context, Flow, LATITUDE_MAX, Outcome, Place, Reply, STEPS, View, admit, hash, is,
    place_arg, place_of, unit_arg,
};
use crate::command::long_double::LongDouble;
use cahoots_gossip::store::{SCORE_BYTES, ScoreRule, WriteError};

pub(super) fn geoadd(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let key = args.at(1);
    let (mut if_absent, mut if_present, mut count_changed, mut first) = (false, false, false, 2);
    while let Some(option) = args.get(first) {
        match option {
            _ if is(option, "nx") => if_absent = true,
            _ if is(option, "xx") => if_present = true,
            _ if is(option, "ch") => count_changed = true,
            _ => break,
        }
        first += 1;
    }
    let triples = args.from(first);
    if triples.is_empty() || !triples.len().is_multiple_of(3) || if_absent && if_present {
        return Err(CommandError::Syntax);
    }
    let mut scored = Vec::with_capacity(triples.len() / 3);
    for at in (0..triples.len()).step_by(3) {
        let place = place_arg(triples.at(at), triples.at(at + 1))?;
        scored.push((triples.at(at + 2), Cell::of(place, STEPS, LATITUDE_MAX).scores().0));
    }
    ctx.current(key, Class::Sorted)?;
    let (mut added, mut changed) = (0, 0);
    ctx.write(args.bytes() + scored.len() * SCORE_BYTES, |writer| {
        admit(writer, scored.iter().map(|(member, _)| (key, *member, SCORE_BYTES)))?;
        for (member, score) in &scored {
            let current = writer.moment().view(key).and_then(|view| view.score(member));
            if if current.is_some() { if_absent } else { if_present } {
                continue;
            }
            // Also where it is already: asserted anew, as by ZADD.
            writer.assign_score(key, member, *score, ScoreRule::Newest)?;
            added += usize::from(current.is_none());
            changed += usize::from(current.is_some_and(|current| current != *score));
        }
        Ok::<_, WriteError>(())
    })?;
    if added + changed == 0 {
        ctx.nothing_happened();
    }
    reply.count(if count_changed { added + changed } else { added });
    Ok(Flow::Continue)
}

pub(super) fn geodist(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let unit = match args.len() {
        4 => 1.0,
        5 => unit_arg(&args[4])?,
        _ => return Err(CommandError::Syntax),
    };
    let view = ctx.read(&args[1], Class::Sorted)?;
    let places = view.and_then(|view| Some((place_of(&view, &args[2])?, place_of(&view, &args[3])?)));
    match places {
        Some((a, b)) => reply.bulk(format!("{:.4}", metres_between(a, b) / unit).as_bytes()),
        None => reply.null(),
    }
    Ok(Flow::Continue)
}

pub(super) fn geohash(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    each(ctx, args, reply, |place, reply| match place {
        Some(place) => reply.bulk(&hash::spelled(place)),
        None => reply.null(),
    })
}

pub(super) fn geopos(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    each(ctx, args, reply, |place, reply| match place {
        Some(place) => write_place(place, reply),
        None => reply.null_array(),
    })
}

/// An answer for each member that is given, by where it is.
fn each(
    ctx: &mut Context<'_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
    answer: impl Fn(Option<Place>, &mut Reply<'_>),
) -> Outcome {
    let view: Option<View<'_>> = ctx.read(&args[1], Class::Sorted)?;
    let members = args.from(2);
    reply.array(members.len());
    for member in members.iter() {
        answer(view.as_ref().and_then(|view| place_of(view, member)), reply);
    }
    Ok(Flow::Continue)
}

pub(super) fn write_place(place: Place, reply: &mut Reply<'_>) {
    reply.array(2);
    for degrees in [place.longitude, place.latitude] {
        reply.spelled_double(&LongDouble::of(degrees).to_string());
    }
}
