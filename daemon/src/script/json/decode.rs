//! JSON as values.

use mlua::{Lua, LuaString, Value};

use super::{NESTING_MAX, NULL, Settings};
use crate::script::library::{Answer, ArgumentError, Arguments, one, words_of};

pub(super) fn decode(lua: &Lua, args: &Arguments, settings: Settings) -> Answer {
    if args.len() != 1 {
        return Err("bad argument #1 to 'decode' (expected 1 argument)".to_owned());
    }
    let text = args.text(lua, 0, "decode")?;
    let text = text.as_bytes();
    if text.len() >= 2 && text[..2].contains(&0) {
        return Err("JSON parser does not support UTF-16 or UTF-32".to_owned());
    }
    let mut reading = Reading { lua, text: &text, at: 0, settings };
    let token = reading.token()?;
    let value = reading.value(token, 0)?;
    match reading.token()? {
        (_, Token::End) => one(lua, value),
        found => Err(unexpected("the end", &found)),
    }
}

/// A token. Words for what is none are the library's.
enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    Text(LuaString),
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    Wrong(&'static str),
}

/// A token, and where it begins.
type Found = (usize, Token);

fn unexpected(wanted: &str, (at, token): &Found) -> ArgumentError {
    let found = match token {
        Token::ObjectBegin => "T_OBJ_BEGIN",
        Token::ObjectEnd => "T_OBJ_END",
        Token::ArrayBegin => "T_ARR_BEGIN",
        Token::ArrayEnd => "T_ARR_END",
        Token::Text(_) => "T_STRING",
        Token::Number(_) => "T_NUMBER",
        Token::Boolean(_) => "T_BOOLEAN",
        Token::Null => "T_NULL",
        Token::Colon => "T_COLON",
        Token::Comma => "T_COMMA",
        Token::End => "T_END",
        Token::Wrong(what) => what,
    };
    format!("Expected {wanted} but found {found} at character {}", at + 1)
}

struct Reading<'a> {
    lua: &'a Lua,
    text: &'a [u8],
    at: usize,
    settings: Settings,
}

impl Reading<'_> {
    /// The byte here; a zero ends the text.
    fn byte(&self) -> Option<u8> {
        self.text.get(self.at).copied().filter(|byte| *byte != 0)
    }

    fn token(&mut self) -> Result<Found, ArgumentError> {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        let begin = self.at;
        let Some(byte) = self.byte() else { return Ok((begin, Token::End)) };
        self.at += 1;
        let token = match byte {
            b'{' => Token::ObjectBegin,
            b'}' => Token::ObjectEnd,
            b'[' => Token::ArrayBegin,
            b']' => Token::ArrayEnd,
            b',' => Token::Comma,
            b':' => Token::Colon,
            b'"' => {
                let token = self.string()?;
                // What is wrong with a text is shown where it is wrong.
                return Ok((if matches!(token, Token::Wrong(_)) { self.at } else { begin }, token));
            }
            _ => {
                self.at = begin;
                self.word(byte)
            }
        };
        Ok((begin, token))
    }

    fn word(&mut self, byte: u8) -> Token {
        for (word, token) in [("true", Token::Boolean(true)), ("false", Token::Boolean(false)), ("null", Token::Null)] {
            if self.text[self.at..].starts_with(word.as_bytes()) {
                self.at += word.len();
                return token;
            }
        }
        let rest = &self.text[self.at..];
        let is_number = byte == b'-' || byte.is_ascii_digit();
        let is_invalid = is_invalid(rest);
        if is_number && is_invalid && !self.settings.decode_invalid {
            return Token::Wrong("invalid number");
        }
        let is_taken = is_number || is_invalid && self.settings.decode_invalid;
        if !is_taken {
            return Token::Wrong("invalid token");
        }
        match number(rest) {
            Some((number, length)) => {
                self.at += length;
                Token::Number(number)
            }
            None => Token::Wrong("invalid number"),
        }
    }

    fn value(&mut self, token: Found, depth: i64) -> Result<Value, ArgumentError> {
        match token {
            (_, Token::ObjectBegin) => self.object(depth + 1),
            (_, Token::ArrayBegin) => self.array(depth + 1),
            (_, Token::Text(text)) => Ok(Value::String(text)),
            (_, Token::Number(number)) => Ok(Value::Number(number)),
            (_, Token::Boolean(value)) => Ok(Value::Boolean(value)),
            (_, Token::Null) => Ok(NULL),
            other => Err(unexpected("value", &other)),
        }
    }

    fn descend(&self, depth: i64) -> Result<(), ArgumentError> {
        if depth > self.settings.decode_depth.min(NESTING_MAX) {
            return Err(format!("Found too many nested data structures ({depth}) at character {}", self.at));
        }
        Ok(())
    }

    fn object(&mut self, depth: i64) -> Result<Value, ArgumentError> {
        self.descend(depth)?;
        let table = self.lua.create_table().map_err(words_of)?;
        let mut token = self.token()?;
        if matches!(token.1, Token::ObjectEnd) {
            return Ok(Value::Table(table));
        }
        loop {
            let (_, Token::Text(key)) = token else { return Err(unexpected("object key string", &token)) };
            token = self.token()?;
            if !matches!(token.1, Token::Colon) {
                return Err(unexpected("colon", &token));
            }
            token = self.token()?;
            let value = self.value(token, depth)?;
            table.raw_set(key, value).map_err(words_of)?;
            token = self.token()?;
            match token.1 {
                Token::ObjectEnd => return Ok(Value::Table(table)),
                Token::Comma => token = self.token()?,
                _ => return Err(unexpected("comma or object end", &token)),
            }
        }
    }

    fn array(&mut self, depth: i64) -> Result<Value, ArgumentError> {
        self.descend(depth)?;
        let table = self.lua.create_table().map_err(words_of)?;
        let mut token = self.token()?;
        if matches!(token.1, Token::ArrayEnd) {
            return Ok(Value::Table(table));
        }
        loop {
            let value = self.value(token, depth)?;
            table.raw_push(value).map_err(words_of)?;
            token = self.token()?;
            match token.1 {
                Token::ArrayEnd => return Ok(Value::Table(table)),
                Token::Comma => token = self.token()?,
                _ => return Err(unexpected("comma or array end", &token)),
            }
        }
    }

    /// The rest of a text.
    fn string(&mut self) -> Result<Token, ArgumentError> {
        let mut out = Vec::new();
        loop {
            let Some(byte) = self.byte() else { return Ok(Token::Wrong("unexpected end of string")) };
            match byte {
                b'"' => break,
                b'\\' => {
                    if let Err(what) = self.escape(&mut out) {
                        return Ok(Token::Wrong(what));
                    }
                }
                other => {
                    out.push(other);
                    self.at += 1;
                }
            }
        }
        self.at += 1;
        Ok(Token::Text(self.lua.create_string(out).map_err(words_of)?))
    }

    /// Reads an escape, and goes on behind it; one that makes no sense is left where it is.
    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), &'static str> {
        let Some(code) = self.text.get(self.at + 1) else { return Err("invalid escape code") };
        let mut length = 2;
        match code {
            b'"' | b'\\' | b'/' => out.push(*code),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let (letter, bytes) = self.letter().ok_or("invalid unicode escape code")?;
                out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                length = bytes;
            }
            _ => return Err("invalid escape code"),
        }
        self.at += length;
        Ok(())
    }

    /// The letter that `\uXXXX` stands for, or two of these; and how long that is.
    fn letter(&self) -> Option<(char, usize)> {
        let unit = |at: usize| {
            let digits = self.text.get(at..at + 6)?.strip_prefix(b"\\u")?;
            let digits =
                std::str::from_utf8(digits).ok().filter(|it| it.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
            u32::from_str_radix(digits, 16).ok()
        };
        let first = unit(self.at)?;
        if !(0xD800..0xDC00).contains(&first) {
            return Some((char::from_u32(first)?, 6));
        }
        let low = unit(self.at + 6)?.checked_sub(0xDC00).filter(|low| *low < 0x400)?;
        Some((char::from_u32(0x1_0000 + ((first - 0xD800) << 10) + low)?, 12))
    }
}

/// Whether a number here is none of JSON's.
fn is_invalid(text: &[u8]) -> bool {
    let Some((first, behind)) = text.split_first() else { return false };
    let text = if *first == b'-' { behind } else { text };
    let begins = |word: &str| text.get(..3).is_some_and(|it| it.eq_ignore_ascii_case(word.as_bytes()));
    match text {
        _ if *first == b'+' => true,
        [b'0', second, ..] => matches!(second, b'x' | b'X' | b'0'..=b'9'),
        _ => begins("inf") || begins("nan"),
    }
}

/// The number at the front of a text as C's `strtod` has it, and how long it is: also `inf`, `nan` and hexadecimal integers.
fn number(text: &[u8]) -> Option<(f64, usize)> {
    let sign = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let (signs, unsigned) = text.split_at(sign);
    let negative = signs == b"-";
    let signed = |number: f64, length: usize| Some((if negative { -number } else { number }, sign + length));
    let begins = |word: &str| unsigned.get(..word.len()).is_some_and(|it| it.eq_ignore_ascii_case(word.as_bytes()));
    for (word, value) in [("infinity", f64::INFINITY), ("inf", f64::INFINITY), ("nan", f64::NAN)] {
        if begins(word) {
            return signed(value, word.len());
        }
    }
    let digits = |from: usize, is_digit: fn(&u8) -> bool| {
        unsigned.get(from..).unwrap_or_default().iter().take_while(|it| is_digit(it)).count()
    };
    if begins("0x") {
        let count = digits(2, u8::is_ascii_hexdigit);
        if count > 0 {
            let value = unsigned[2..2 + count].iter().fold(0.0, |value, digit| {
                value * 16.0 + f64::from(char::from(*digit).to_digit(16).unwrap_or_default())
            });
            return signed(value, 2 + count);
        }
    }
    let whole = digits(0, u8::is_ascii_digit);
    let mut length = whole;
    if unsigned.get(length) == Some(&b'.') {
        let decimals = digits(length + 1, u8::is_ascii_digit);
        length += if whole + decimals > 0 { 1 + decimals } else { 0 };
    }
    if length == 0 {
        return None;
    }
    if matches!(unsigned.get(length), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(unsigned.get(length + 1), Some(b'-' | b'+')));
        let exponent = digits(length + 1 + sign, u8::is_ascii_digit);
        length += if exponent > 0 { 1 + sign + exponent } else { 0 };
    }
    let value = std::str::from_utf8(&unsigned[..length]).ok()?.parse().ok()?;
    signed(value, length)
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_are_read_as_far_as_they_make_sense() {
        for (text, expected) in [
            ("1", Some((1.0, 1))),
            ("-1.5e3x", Some((-1500.0, 6))),
            ("1e", Some((1.0, 1))),
            ("1.e1", Some((10.0, 4))),
            (".5", Some((0.5, 2))),
            ("0x1Fg", Some((31.0, 4))),
            ("0xg", Some((0.0, 1))),
            ("-inf", Some((f64::NEG_INFINITY, 4))),
            ("Infinity", Some((f64::INFINITY, 8))),
            (".", None),
            ("-", None),
            ("", None),
        ] {
            assert_eq!(number(text.as_bytes()), expected, "{text}");
        }
    }
}
