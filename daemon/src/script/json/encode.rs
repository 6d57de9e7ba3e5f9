//! Values as JSON.

use mlua::{Lua, Table, Value};

use super::{Invalid, NESTING_MAX, NULL, Settings};
use crate::script::MEMORY_BYTES_MAX;
use crate::script::bounds::Bounds;
use crate::script::library::{Answer, ArgumentError, Arguments, number, text, type_name, words_of};

pub(super) fn encode(lua: &Lua, args: &Arguments, settings: Settings, bounds: &Bounds) -> Answer {
    if args.len() != 1 {
        return Err("bad argument #1 to 'encode' (expected 1 argument)".to_owned());
    }
    let mut writing = Writing { out: Vec::new(), settings, bounds };
    writing.value(args.get(0), 0)?;
    text(lua, &writing.out)
}

struct Writing<'b> {
    out: Vec<u8>,
    settings: Settings,
    bounds: &'b Bounds,
}

impl Writing<'_> {
    fn value(&mut self, value: &Value, depth: i64) -> Result<(), ArgumentError> {
        if !self.bounds.has_time() || self.out.len() > MEMORY_BYTES_MAX {
            return Err("not enough memory".to_owned());
        }
        match value {
            Value::Nil => self.out.extend_from_slice(b"null"),
            it if *it == NULL => self.out.extend_from_slice(b"null"),
            Value::Boolean(value) => self.out.extend_from_slice(if *value { b"true" } else { b"false" }),
            Value::String(text) => self.text(&text.as_bytes()),
            Value::Table(table) => self.table(table, depth + 1)?,
            other => match number(other) {
                Some(number) => self.number(number)?,
                None => return Err(format!("Cannot serialise {}: type not supported", type_name(other))),
            },
        }
        Ok(())
    }

    fn number(&mut self, number: f64) -> Result<(), ArgumentError> {
        if !number.is_finite() {
            match self.settings.encode_invalid {
                Invalid::Refused => return Err("Cannot serialise number: must not be NaN or Inf".to_owned()),
                Invalid::Null => {
                    self.out.extend_from_slice(b"null");
                    return Ok(());
                }
                Invalid::Written if number.is_nan() => {
                    self.out.extend_from_slice(if number.is_sign_negative() { b"-nan" } else { b"nan" });
                    return Ok(());
                }
                Invalid::Written => {}
            }
        }
        let digits = usize::try_from(self.settings.precision).expect("it is at least 1");
        self.out.extend_from_slice(general(number, digits).as_bytes());
        Ok(())
    }

    fn text(&mut self, text: &[u8]) {
        self.out.push(b'"');
        for byte in text {
            match byte {
                b'"' | b'\\' | b'/' => self.out.extend([b'\\', *byte]),
                8 => self.out.extend_from_slice(b"\\b"),
                12 => self.out.extend_from_slice(b"\\f"),
                b'\n' => self.out.extend_from_slice(b"\\n"),
                b'\r' => self.out.extend_from_slice(b"\\r"),
                b'\t' => self.out.extend_from_slice(b"\\t"),
                0..=31 | 127 => self.out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
                other => self.out.push(*other),
            }
        }
        self.out.push(b'"');
    }

    fn table(&mut self, table: &Table, depth: i64) -> Result<(), ArgumentError> {
        if depth > self.settings.encode_depth.min(NESTING_MAX) {
            return Err(format!("Cannot serialise, excessive nesting ({depth})"));
        }
        match self.length(table)? {
            Some(length) => self.array(table, length, depth),
            None => self.object(table, depth),
        }
    }

    /// How long an array is; `None` for what is none.
    fn length(&self, table: &Table) -> Result<Option<usize>, ArgumentError> {
        let (mut highest, mut elements) = (0.0_f64, 0_u32);
        for pair in table.pairs::<Value, Value>() {
            let (key, _) = pair.map_err(words_of)?;
            match number(&key).filter(|it| *it >= 1.0 && it.fract() == 0.0) {
                Some(index) => highest = highest.max(index),
                None => return Ok(None),
            }
            elements += 1;
        }
        let Settings { sparse_ratio, sparse_safe, sparse_converts, .. } = self.settings;
        let longest = f64::from(elements) * sparse_ratio as f64;
        if sparse_ratio > 0 && highest > longest && highest > sparse_safe as f64 {
            if sparse_converts {
                return Ok(None);
            }
            return Err("Cannot serialise table: excessively sparse array".to_owned());
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what is written is bounded")]
        let length = highest as usize;
        Ok((length > 0).then_some(length))
    }

    fn array(&mut self, table: &Table, length: usize, depth: i64) -> Result<(), ArgumentError> {
        self.out.push(b'[');
        for at in 1..=length {
            if at > 1 {
                self.out.push(b',');
            }
            self.value(&table.raw_get(at).map_err(words_of)?, depth)?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn object(&mut self, table: &Table, depth: i64) -> Result<(), ArgumentError> {
        self.out.push(b'{');
        for (at, pair) in table.pairs::<Value, Value>().enumerate() {
            let (key, value) = pair.map_err(words_of)?;
            if at > 0 {
                self.out.push(b',');
            }
            match (&key, number(&key)) {
                (Value::String(text), _) => self.text(&text.as_bytes()),
                (_, Some(number)) => {
                    self.out.push(b'"');
                    self.number(number)?;
                    self.out.push(b'"');
                }
                _ => {
                    let kind = type_name(&key);
                    return Err(format!("Cannot serialise {kind}: table key must be a number or string"));
                }
            }
            self.out.push(b':');
            self.value(&value, depth)?;
        }
        self.out.push(b'}');
        Ok(())
    }
}

/// As C's `%.*g`.
fn general(number: f64, digits: usize) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{number:.*e}", digits - 1);
    let (mantissa, exponent) = scientific.split_once('e').expect("that is the format asked for");
    let exponent: i32 = exponent.parse().expect("that is the format asked for");
    let trimmed = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    match usize::try_from(exponent) {
        Ok(places) if places < digits => trimmed(&format!("{number:.*}", digits - 1 - places)),
        Err(_) if exponent >= -4 => {
            let decimals = digits - 1 + exponent.unsigned_abs() as usize;
            trimmed(&format!("{number:.decimals$}"))
        }
        _ => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{}e{sign}{:02}", trimmed(mantissa), exponent.unsigned_abs())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::general;

    #[test]
    fn numbers_are_spelled_as_c_spells_them_with_so_many_digits() {
        for (number, digits, spelled) in [
            (0.0, 14, "0"),
            (-0.0, 14, "-0"),
            (0.1, 14, "0.1"),
            (123.0, 14, "123"),
            (1.5e-4, 14, "0.00015"),
            (1.5e-5, 14, "1.5e-05"),
            (99_999_999_999_999.0, 14, "99999999999999"),
            (123_456_789_012_345.0, 14, "1.2345678901234e+14"),
            (1e20, 14, "1e+20"),
            (2.0 / 3.0, 3, "0.667"),
            (1234.0, 3, "1.23e+03"),
            (9.99, 1, "1e+01"),
        ] {
            assert_eq!(general(number, digits), spelled);
        }
    }
}
