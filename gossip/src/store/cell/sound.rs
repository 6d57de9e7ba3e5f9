//! What cells that come from elsewhere may hold: bytes of peers and of disks are not trusted.

use cahoots_crdt::Dot;

use super::{lifetime, position, score, stream};
use crate::Hlc;
use crate::store::kind::Class;

/// Nothing can be added to an element of this class.
pub(in crate::store) const NOT_COUNTED: &str = "nothing is added to this type";

/// Whether a register of `class` and `name`, written by the event `dot` at `clock`, may hold `value`.
///
/// # Errors
/// What is wrong.
pub(in crate::store) fn check(
    class: Class,
    name: &[u8],
    dot: Dot,
    clock: Hlc,
    value: &[u8],
) -> Result<(), &'static str> {
    if class.is_attribute() && !lifetime::is_sound(class, dot, clock, value) {
        return Err("a deadline that nobody writes");
    }
    if class.is_scored() && !score::is_sound(value) {
        return Err("a score that is no number");
    }
    if class == Class::Stream && !stream::is_sound(name, value) {
        return Err("an entry of a stream that nobody writes");
    }
    Ok(())
}

/// Whether a cell of this clock may lie at an element of `class` that has this name.
///
/// # Errors
/// What is wrong.
pub(in crate::store) fn check_name(class: Class, name: &[u8], clock: Hlc) -> Result<(), &'static str> {
    if class == Class::List && !position::is_sound(name, clock) {
        return Err("no position in a list");
    }
    Ok(())
}
