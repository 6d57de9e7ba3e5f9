//! The libraries of functions, where all daemons have them: fields of one hash that no client sees as a key.
//!
//! They are replicated like all else: of two that replicas that were apart loaded under one name the later one stays, and one
//! that is deleted while another replica loads it anew stays. What clients do to all keys leaves them alone.

use std::borrow::Cow;

use super::context::Context;
use cahoots_gossip::store::database::{MARK, SYSTEM};
use cahoots_gossip::store::{Class, View, WriteError, Writer};

/// The key of the hash, in the database that is no client's.
const KEY: &[u8] = &[MARK, SYSTEM, b'f', b'u', b'n', b'c', b't', b'i', b'o', b'n', b's'];

/// A library's name, and its code.
pub(super) type Library<'a> = (&'a [u8], Cow<'a, [u8]>);

/// All libraries, if there are any.
pub(super) fn view<'c>(ctx: &'c Context<'_>) -> Option<View<'c>> {
    ctx.current(KEY, Class::Hash).ok().flatten()
}

/// The code of each, by name.
pub(super) fn sorted(view: Option<View<'_>>) -> Vec<Library<'_>> {
    let mut all: Vec<Library<'_>> = view.into_iter().flat_map(|view| view.iter()).collect();
    all.sort_unstable();
    all
}

/// Puts libraries in the place of those that have their names.
pub(super) fn put<'l>(
    writer: &mut Writer<'_>,
    libraries: impl IntoIterator<Item = (&'l [u8], &'l [u8])>,
) -> Result<(), WriteError> {
    libraries.into_iter().try_for_each(|(name, code)| writer.insert(KEY, Class::Hash, name, code).map(drop))
}

/// Deletes one; says whether there was one.
pub(super) fn remove(writer: &mut Writer<'_>, name: &[u8]) -> Result<bool, WriteError> {
    writer.remove(KEY, Class::Hash, name)
}

/// Deletes all.
pub(super) fn clear(writer: &mut Writer<'_>) -> Result<(), WriteError> {
    writer.delete(KEY).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_where_no_client_can_choose_a_key() {
        assert_eq!(cahoots_gossip::store::database::parts(KEY), (SYSTEM, &b"functions"[..]));
    }
}
