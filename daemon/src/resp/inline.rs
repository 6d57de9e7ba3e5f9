//! Inline commands: a line of words, as a person types them into `nc`.
//!
//! Words are split at spaces. `"..."` takes the escapes `\n \r \t \b \a \xHH` and `\` before anything else, `'...'`
//! only `\'`; a closing quote must end the word. What a word decodes to is never longer than its spelling, so it is
//! decoded in place: the arguments of an inline command are ranges of the read buffer like those of any other.

use super::parse::Span;

/// Splits `line[from..to]` into words, decoding them in place; `None` if a quote is not closed.
pub(super) fn split(line: &mut [u8], from: usize, to: usize, words: &mut Vec<Span>) -> Option<()> {
    let mut at = from;
    loop {
        while at < to && is_space(line[at]) {
            at += 1;
        }
        if at == to {
            return Some(());
        }
        let start = at;
        let mut end = at; // where the next decoded byte goes: never past `at`
        while at < to && !is_space(line[at]) {
            match line[at] {
                quote @ (b'"' | b'\'') => {
                    at += 1;
                    loop {
                        let (byte, taken) = match *line.get(at..to)? {
                            [] => return None,
                            [b'\\', b'x', high, low, ..] if quote == b'"' && is_hex(high) && is_hex(low) => {
                                (hex(high) << 4 | hex(low), 4)
                            }
                            [b'\\', escaped, ..] if quote == b'"' => (unescape(escaped), 2),
                            [b'\\', b'\'', ..] if quote == b'\'' => (b'\'', 2),
                            [byte, ..] if byte == quote => break,
                            [byte, ..] => (byte, 1),
                        };
                        line[end] = byte;
                        end += 1;
                        at += taken;
                    }
                    at += 1;
                    if at < to && !is_space(line[at]) {
                        return None;
                    }
                }
                byte => {
                    line[end] = byte;
                    end += 1;
                    at += 1;
                }
            }
        }
        words.push(Span::new(start, end));
    }
}

/// The words of a text that is split as an inline command is; `None` if a quote is not closed.
#[must_use]
pub fn split_words(text: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (mut text, mut spans) = (text.to_vec(), Vec::new());
    let end = text.len();
    split(&mut text, 0, end, &mut spans)?;
    Some(spans.into_iter().map(|span| text[span.range()].to_vec()).collect())
}

/// The bytes C's `isspace` names, as Redis uses it.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_hexdigit()
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Option<Vec<Vec<u8>>> {
        let (mut line, mut spans) = (line.as_bytes().to_vec(), Vec::new());
        let to = line.len();
        split(&mut line, 0, to, &mut spans)?;
        Some(spans.iter().map(|span| line[span.range()].to_vec()).collect())
    }

    #[test]
    fn words_are_split_and_quotes_decoded() {
        let cases: &[(&str, &[&[u8]])] = &[
            ("", &[]),
            ("   \t ", &[]),
            ("PING", &[b"PING"]),
            ("  set  a\tb ", &[b"set", b"a", b"b"]),
            (r#"set "a b" 'c d'"#, &[b"set", b"a b", b"c d"]),
            (r#"x "" ''"#, &[b"x", b"", b""]),
            (r#""\x41\x4a\n\r\t\b\a\\\"\q""#, &[b"AJ\n\r\t\x08\x07\\\"q"]),
            (r#""\x4""#, &[b"x4"]),
            (r"'it\'s \n'", &[br"it's \n"]),
            (r#"a"b c""#, &[b"ab c"]),
        ];
        for (line, expected) in cases {
            assert_eq!(words(line).unwrap(), *expected, "{line}");
        }
    }

    #[test]
    fn an_open_quote_or_one_that_does_not_end_its_word_is_refused() {
        for line in [r#"""#, r#""a"#, r#""a\"#, r#""a\""#, "'a", "'", r#""a"b"#, "'a'b", r#"a "b"#] {
            assert_eq!(words(line), None, "{line}");
        }
    }
}
