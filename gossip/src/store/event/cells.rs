//! How an operation changes cells: each of these keeps the fingerprint, and notes in the window what peers are to be told.

use cahoots_crdt::{Dot, ReplicaId};

use super::window::Window;
use crate::Hlc;
use crate::store::cell::baseline::{Baseline, Baselines};
use crate::store::cell::fingerprint::Fingerprint;
use crate::store::cell::{Cell, Count, Dots, Element, Path, Register};
use crate::store::memory::entry::Entry;
use crate::store::memory::keys::{Draft, Keys};

/// Puts this replica's register at a path in place of its earlier one, and beside those of others.
pub(in crate::store) fn put_own(
    path: &Path<'_>,
    event: Dot,
    register: &Register<'_>,
    (keys, baselines, fingerprint, window): (&mut Keys, &Baselines, &mut Fingerprint, &mut Window),
    draft: &mut Draft,
) {
    let (at, mut element) = keys.look(path);
    element.value.retain(|dot, cell| {
        let own = dot.replica == event.replica;
        if own {
            fingerprint.subtract(Fingerprint::of_register(path, dot, cell));
        }
        !own
    });
    fingerprint.add(Fingerprint::of_register(path, event, register));
    // Its context is empty: what it replaces is the own part that every context implies.
    window.assign(path, register, &Dots::default());
    element.value.insert(event, *register);
    keys.draft(at, path, element, draft);
    keys.commit(at, path, baselines, draft);
}

/// Adds to this replica's count at a path.
pub(in crate::store) fn raise(
    path: &Path<'_>,
    element: &mut Element<'_>,
    (baselines, fingerprint, window): (&mut Baselines, &mut Fingerprint, &mut Window),
    (event, clock): (Dot, Hlc),
    delta: i128,
) {
    let known = element.slot(event.replica).map(|(dot, count)| (dot, *count));
    let (birth, total) = match known {
        Some((dot, count)) => {
            fingerprint.subtract(Fingerprint::of_count(path, dot, &count, baselines));
            element.counts.retain(|it, _| it != dot);
            (count.birth, count.total)
        }
        None => {
            baselines.begin_life(path, event.replica, event.seq);
            (event.seq, 0)
        }
    };
    let count = Count { clock, birth, total: total.wrapping_add(delta) };
    fingerprint.add(Fingerprint::of_count(path, event, &count, baselines));
    window.count(path, &count, known.filter(|(dot, _)| *dot != event));
    element.counts.insert(event, count);
}

/// Makes way for an assignment: as [`supersede`], unless the only cell is a register written in the open window. That
/// one's change becomes the new one's.
pub(super) fn replace(
    path: &Path<'_>,
    element: &Element<'_>,
    parts: (&mut Baselines, &mut Fingerprint, &mut Window),
    event: Dot,
    context: &mut Dots,
) {
    let open = element.value.get(event).filter(|_| element.counts.is_empty() && element.value.len() == 1);
    match open {
        Some(open) => parts.1.subtract(Fingerprint::of_register(path, event, open)),
        None => supersede(path, element, parts, event, context),
    }
}

/// Notes that all cells of an element are removed as observed: raises `context` by the foreign ones, and leaves a
/// baseline for each foreign counter slot.
pub(super) fn supersede(
    path: &Path<'_>,
    element: &Element<'_>,
    (baselines, fingerprint, window): (&mut Baselines, &mut Fingerprint, &mut Window),
    event: Dot,
    context: &mut Dots,
) {
    let me: ReplicaId = event.replica;
    for (dot, register) in element.value.iter() {
        fingerprint.subtract(Fingerprint::of_register(path, dot, register));
        match dot {
            open if open == event => window.take_back(path, Cell::Register, context),
            own if own.replica == me => {}
            foreign => context.raise(foreign),
        }
    }
    for (dot, count) in element.counts.iter() {
        fingerprint.subtract(Fingerprint::of_count(path, dot, count, baselines));
        match dot {
            open if open == event => window.take_back(path, Cell::Count, context),
            other => {
                if other.replica != me {
                    context.raise(other);
                }
                reset_slot(path, (other, *count), (baselines, window), event);
            }
        }
    }
}

/// Notes that a counter slot is removed as observed: of this replica's own, what it was before; of another's, a baseline
/// from which what is added to it later counts on.
pub(super) fn reset_slot(
    path: &Path<'_>,
    (dot, count): (Dot, Count),
    (baselines, window): (&mut Baselines, &mut Window),
    event: Dot,
) {
    if dot.replica == event.replica {
        return window.own_reset(path, (dot, count));
    }
    let Count { birth, total, .. } = count;
    baselines.merge(path, Baseline { owner: dot.replica, birth, seen: dot.seq, total, reset: event });
    window.reset(path, dot, birth, total);
}

/// Supersedes everything under the key of `path`.
pub(super) fn supersede_entry(
    path: &Path<'_>,
    entry: Entry<'_>,
    (baselines, fingerprint, window): (&mut Baselines, &mut Fingerprint, &mut Window),
    event: Dot,
    context: &mut Dots,
) {
    for (class, name, element) in entry.iter() {
        let path = Path::within(path.key_hash, path.key, class, &name);
        supersede(&path, &element, (&mut *baselines, &mut *fingerprint, &mut *window), event, context);
    }
}
