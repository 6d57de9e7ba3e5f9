//! `struct`: values as bytes by a format, after Roberto Ierusalimschy's library (<http://www.inf.puc-rio.br/~roberto/struct/>).

use mlua::{Lua, MultiValue, Table, Value};

use super::library::{Answer, ArgumentError, Arguments, RESULTS_MAX, function, one, text, truncated, words_of};

/// Bytes of an integer at most.
const INTEGER_BYTES_MAX: usize = 32;
/// The native alignment.
const NATIVE: usize = 8;

/// One item of a format.
#[derive(Clone, Copy)]
enum Item {
    Integer {
        bytes: usize,
        signed: bool,
    },
    Float,
    Double,
    /// `None`: as long as the number before it says, or all that there is.
    Bytes(Option<usize>),
    /// Ended by a zero.
    Zeroed,
    Padding,
    /// None of these.
    Unknown(u8),
}

/// Reads a format, item by item.
struct Format<'a> {
    rest: &'a [u8],
    is_little: bool,
    align: usize,
}

impl<'a> Format<'a> {
    fn new(format: &'a [u8]) -> Self {
        Self { rest: format, is_little: cfg!(target_endian = "little"), align: 1 }
    }

    fn number(&mut self, otherwise: usize) -> Result<usize, ArgumentError> {
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return Ok(otherwise);
        }
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        let number = std::str::from_utf8(number).ok().and_then(|it| it.parse::<u32>().ok());
        let number = number.filter(|it| *it < 1 << 31).and_then(|it| usize::try_from(it).ok());
        number.ok_or_else(|| "integral size overflow".to_owned())
    }

    fn next(&mut self) -> Result<Option<Item>, ArgumentError> {
        loop {
            let Some((letter, rest)) = self.rest.split_first() else { return Ok(None) };
            self.rest = rest;
            let integer = |bytes, signed| Item::Integer { bytes, signed };
            return Ok(Some(match letter {
                b'b' => integer(1, true),
                b'B' => integer(1, false),
                b'h' => integer(2, true),
                b'H' => integer(2, false),
                b'l' => integer(8, true),
                b'L' | b'T' => integer(8, false),
                b'i' | b'I' => {
                    let bytes = self.number(4)?;
                    if bytes > INTEGER_BYTES_MAX {
                        return Err(format!("integral size {bytes} is larger than limit of {INTEGER_BYTES_MAX}"));
                    }
                    integer(bytes, *letter == b'i')
                }
                b'f' => Item::Float,
                b'd' => Item::Double,
                b'x' => Item::Padding,
                b'c' => Item::Bytes(Some(self.number(1)?).filter(|it| *it > 0)),
                b's' => Item::Zeroed,
                b' ' => continue,
                b'>' | b'<' => {
                    self.is_little = *letter == b'<';
                    continue;
                }
                b'!' => {
                    self.align = self.number(NATIVE)?;
                    if !self.align.is_power_of_two() {
                        return Err(format!("alignment {} is not a power of 2", self.align));
                    }
                    continue;
                }
                other => Item::Unknown(*other),
            }));
        }
    }

    /// Bytes to skip so that an item is aligned.
    fn padding(&self, item: Item, at: usize) -> usize {
        let size = match item {
            Item::Integer { bytes, .. } => bytes,
            Item::Float => 4,
            Item::Double => 8,
            _ => return 0,
        };
        let align = size.min(self.align);
        if align > 1 { (align - (at & (align - 1))) & (align - 1) } else { 0 }
    }

    fn ordered<const N: usize>(&self, mut little: [u8; N]) -> [u8; N] {
        if !self.is_little {
            little.reverse();
        }
        little
    }
}

fn unknown(letter: u8, name: &str) -> ArgumentError {
    format!("bad argument #1 to '{name}' (invalid format option '{}')", char::from(letter))
}

fn pack(lua: &Lua, args: &Arguments) -> Answer {
    let format = args.text(lua, 0, "pack")?;
    let format = format.as_bytes();
    let (mut format, mut out, mut at) = (Format::new(&format), Vec::new(), 1);
    // What is missing is nil to the library.
    let missing = |error: ArgumentError| error.replace("got no value", "got nil");
    while let Some(item) = format.next()? {
        out.resize(out.len() + format.padding(item, out.len()), 0);
        let number = || args.number(lua, at, "pack").map_err(missing);
        match item {
            Item::Unknown(letter) => return Err(unknown(letter, "pack")),
            Item::Padding => {
                out.push(0);
                continue;
            }
            Item::Integer { bytes, .. } => {
                let start = out.len();
                out.extend_from_slice(&integer_bytes(number()?)[..bytes]);
                if !format.is_little {
                    out[start..].reverse();
                }
            }
            #[expect(clippy::cast_possible_truncation, reason = "four bytes were asked for")]
            Item::Float => out.extend(format.ordered((number()? as f32).to_le_bytes())),
            Item::Double => out.extend(format.ordered(number()?.to_le_bytes())),
            Item::Bytes(_) | Item::Zeroed => {
                let text = args.text(lua, at, "pack").map_err(missing)?;
                let text = text.as_bytes();
                let length = if let Item::Bytes(Some(length)) = item { length } else { text.len() };
                if text.len() < length {
                    return Err(format!("bad argument #{} to 'pack' (string too short)", at + 2));
                }
                out.extend(&text[..length]);
                if matches!(item, Item::Zeroed) {
                    out.push(0);
                }
            }
        }
        at += 1;
    }
    text(lua, &out)
}

/// The lowest eight bytes of an integer, the least first, and zeros.
fn integer_bytes(number: f64) -> [u8; INTEGER_BYTES_MAX] {
    const BEYOND_SIGNED: f64 = 9_223_372_036_854_775_808.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is not negative here")]
    let bits = if number < BEYOND_SIGNED { truncated(number).cast_unsigned() } else { number as u64 };
    let mut bytes = [0; INTEGER_BYTES_MAX];
    bytes[..8].copy_from_slice(&bits.to_le_bytes());
    bytes
}

fn unpack(lua: &Lua, args: &Arguments) -> Answer {
    let (format, data) = (args.text(lua, 0, "unpack")?, args.text(lua, 1, "unpack")?);
    let (format, data) = (format.as_bytes(), data.as_bytes());
    let start = if args.has(2) { args.integer(lua, 2, "unpack")? } else { 1 };
    let Some(start) = usize::try_from(start).ok().and_then(|start| start.checked_sub(1)) else {
        return Err("bad argument #3 to 'unpack' (offset must be 1 or greater)".to_owned());
    };
    let too_short = || "bad argument #2 to 'unpack' (data string too short)".to_owned();
    let (mut format, mut at) = (Format::new(&format), start);
    let mut values: Vec<Value> = Vec::new();
    while let Some(item) = format.next()? {
        if values.len() >= RESULTS_MAX {
            return Err("stack overflow (too many results)".to_owned());
        }
        at += format.padding(item, at);
        let rest = data.get(at..).ok_or_else(too_short)?;
        let size = match item {
            Item::Unknown(letter) => return Err(unknown(letter, "unpack")),
            Item::Integer { bytes, .. } => bytes,
            Item::Float => 4,
            Item::Double => 8,
            Item::Padding => 1,
            Item::Bytes(Some(length)) => length,
            Item::Bytes(None) => {
                let size = values.pop().and_then(|value| super::library::number(&value));
                let size = size.and_then(|size| usize::try_from(truncated(size)).ok());
                size.ok_or_else(|| "format 'c0' needs a previous size".to_owned())?
            }
            Item::Zeroed => {
                let length = memchr::memchr(0, rest);
                length.ok_or_else(|| "unfinished string in data".to_owned())?
            }
        };
        let bytes = rest.get(..size).ok_or_else(too_short)?;
        match item {
            Item::Padding | Item::Unknown(_) => {}
            Item::Integer { signed, .. } => values.push(Value::Number(integer(bytes, format.is_little, signed))),
            Item::Float => {
                let bytes = format.ordered(bytes.try_into().expect("four"));
                values.push(Value::Number(f64::from(f32::from_le_bytes(bytes))));
            }
            Item::Double => {
                let bytes = format.ordered(bytes.try_into().expect("eight"));
                values.push(Value::Number(f64::from_le_bytes(bytes)));
            }
            Item::Bytes(_) | Item::Zeroed => values.push(Value::String(lua.create_string(bytes).map_err(words_of)?)),
        }
        at += size + usize::from(matches!(item, Item::Zeroed));
    }
    values.push(Value::Number((at + 1) as f64));
    Ok(values.into_iter().collect::<MultiValue>())
}

/// The lowest eight of these bytes as a number.
fn integer(bytes: &[u8], is_little: bool, signed: bool) -> f64 {
    let append = |bits: u64, byte: &u8| bits << 8 | u64::from(*byte);
    let bits = if is_little { bytes.iter().rev().fold(0, append) } else { bytes.iter().fold(0, append) };
    let unused = u64::BITS - 8 * u32::try_from(bytes.len().min(8)).expect("at most eight");
    if !signed || bytes.is_empty() {
        return bits as f64;
    }
    ((bits << unused).cast_signed() >> unused) as f64
}

fn size(lua: &Lua, args: &Arguments) -> Answer {
    let format = args.text(lua, 0, "size")?;
    let format = format.as_bytes();
    let (mut format, mut at) = (Format::new(&format), 0_usize);
    let endless = |option: &str| format!("bad argument #1 to 'size' (option '{option}' has no fixed size)");
    while let Some(item) = format.next()? {
        at += format.padding(item, at);
        at += match item {
            Item::Integer { bytes, .. } => bytes,
            Item::Float => 4,
            Item::Double => 8,
            Item::Padding => 1,
            Item::Bytes(Some(length)) => length,
            Item::Bytes(None) => return Err(endless("c0")),
            Item::Zeroed => return Err(endless("s")),
            // As the library has it.
            Item::Unknown(letter) if letter.is_ascii_alphanumeric() => 0,
            Item::Unknown(letter) => return Err(unknown(letter, "size")),
        };
    }
    one(lua, at as f64)
}

pub(super) fn library(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.set("pack", function(lua, |lua, args| pack(lua, &args))?)?;
    table.set("unpack", function(lua, |lua, args| unpack(lua, &args))?)?;
    table.set("size", function(lua, |lua, args| size(lua, &args))?)?;
    Ok(table)
}
