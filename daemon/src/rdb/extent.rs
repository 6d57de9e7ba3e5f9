//! How far a value reaches in an RDB file: its form is followed, and nothing is made of it.

use std::io::Read;

use super::incoming::{FileError, Incoming};
use super::kind;

/// What parts of a module's value are introduced by.
mod part {
    pub(super) const END: u64 = 0;
    pub(super) const SIGNED: u64 = 1;
    pub(super) const UNSIGNED: u64 = 2;
    pub(super) const FLOAT: u64 = 3;
    pub(super) const DOUBLE: u64 = 4;
    pub(super) const STRING: u64 = 5;
}

/// Reads past a value of this form.
pub(super) fn pass_value<R: Read>(form: u8, input: &mut Incoming<R>) -> Result<(), FileError> {
    match form {
        kind::STRING
        | kind::HASH_ZIPMAP
        | kind::LIST_ZIPLIST
        | kind::SET_INTSET
        | kind::ZSET_ZIPLIST
        | kind::HASH_ZIPLIST
        | kind::HASH_LISTPACK
        | kind::ZSET_LISTPACK
        | kind::SET_LISTPACK => input.pass_string(),
        kind::LIST | kind::SET | kind::LIST_OF_ZIPLISTS => each(input, Incoming::pass_string),
        kind::HASH => each(input, |input| {
            input.pass_string()?;
            input.pass_string()
        }),
        kind::LIST_OF_LISTPACKS => each(input, |input| {
            input.number()?;
            input.pass_string()
        }),
        kind::ZSET_TEXT => each(input, |input| {
            input.pass_string()?;
            match input.array()? {
                [253..=255] => Ok(()),
                [digits] => input.pass(digits.into()),
            }
        }),
        kind::ZSET => each(input, |input| {
            input.pass_string()?;
            input.pass(8)
        }),
        kind::HASH_WITH_ENDS => {
            input.pass(8)?;
            each(input, |input| {
                input.number()?;
                input.pass_string()?;
                input.pass_string()
            })
        }
        kind::HASH_OF_VALKEY => each(input, |input| {
            input.pass_string()?;
            input.pass_string()?;
            input.pass(8)
        }),
        kind::HASH_LISTPACK_WITH_ENDS => {
            input.pass(8)?;
            input.pass_string()
        }
        kind::STREAM_1 | kind::STREAM_2 | kind::STREAM_3 => pass_stream(form, input),
        _ => Err(FileError::UnknownType { form, at: input.at() }),
    }
}

/// As many things as are said to follow.
fn each<R: Read>(
    input: &mut Incoming<R>,
    mut one: impl FnMut(&mut Incoming<R>) -> Result<(), FileError>,
) -> Result<(), FileError> {
    (0..input.number()?).try_for_each(|_| one(input))
}

fn pass_stream<R: Read>(form: u8, input: &mut Incoming<R>) -> Result<(), FileError> {
    /// An id, and when and how often an entry was delivered.
    const ID_BYTES: u64 = 16;
    const TIME_BYTES: u64 = 8;
    each(input, |input| {
        input.pass_string()?;
        input.pass_string()
    })?;
    // How many entries, and the last id; then the first id, the highest deleted, and how many there were.
    let numbers = if form == kind::STREAM_1 { 3 } else { 8 };
    pass_numbers(numbers, input)?;
    // Groups: the last id delivered, and how many were; entries delivered; consumers.
    each(input, |input| {
        input.pass_string()?;
        pass_numbers(if form == kind::STREAM_1 { 2 } else { 3 }, input)?;
        each(input, |input| {
            input.pass(ID_BYTES + TIME_BYTES)?;
            pass_numbers(1, input)
        })?;
        each(input, |input| {
            input.pass_string()?;
            input.pass(if form == kind::STREAM_3 { 2 * TIME_BYTES } else { TIME_BYTES })?;
            each(input, |input| input.pass(ID_BYTES))
        })
    })
}

fn pass_numbers<R: Read>(count: usize, input: &mut Incoming<R>) -> Result<(), FileError> {
    (0..count).try_for_each(|_| input.number().map(drop))
}

/// Reads past what a module wrote.
pub(super) fn pass_module<R: Read>(input: &mut Incoming<R>) -> Result<(), FileError> {
    loop {
        match input.number()? {
            part::END => return Ok(()),
            part::SIGNED | part::UNSIGNED => drop(input.number()?),
            part::FLOAT => input.pass(4)?,
            part::DOUBLE => input.pass(8)?,
            part::STRING => input.pass_string()?,
            _ => return Err(input.malformed()),
        }
    }
}

/// The name of a module's type: nine characters of six bits, above ten bits of a version.
pub(super) fn module_name(id: u64) -> String {
    const CHARACTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let character = |at: u32| char::from(CHARACTERS[usize::try_from(id >> (10 + 6 * at) & 0x3F).expect("six bits")]);
    (0..9).rev().map(character).collect()
}
