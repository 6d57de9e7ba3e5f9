//! Patterns of `KEYS` and of `MATCH`: `*`, `?`, `[a-z]`, `[^a-z]`, and `\` before a byte that stands for itself.
//!
//! Only the last `*` is ever tried again, so a match costs O(pattern · text) at most; trying all of them, as a naive
//! matcher does, is exponential and a client could stop the daemon with one pattern.

/// Whether all of `text` matches `pattern`.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on after the last `*`, and how much of the text it has swallowed so far.
    let mut star = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            star = Some((p, t));
            continue;
        }
        if t == text.len() {
            if p == pattern.len() {
                return true;
            }
        } else if let Some(next) = one(pattern, p, text[t]) {
            (p, t) = (next, t + 1);
            continue;
        }
        match star {
            // The text's end is not negotiable: what is left of the pattern needs at least a byte.
            Some((after, swallowed)) if swallowed < text.len() => {
                (p, t) = (after, swallowed + 1);
                star = Some((after, swallowed + 1));
            }
            _ => return false,
        }
    }
}

/// Whether the element of the pattern at `p` takes `byte`, and where the next element begins.
fn one(pattern: &[u8], p: usize, byte: u8) -> Option<usize> {
    match pattern[p..] {
        [] => None,
        [b'?', ..] => Some(p + 1),
        [b'[', ..] => class(pattern, p + 1, byte),
        [b'\\', literal, ..] => (literal == byte).then_some(p + 2),
        [literal, ..] => (literal == byte).then_some(p + 1),
    }
}

/// A class of bytes, from behind its `[`. One that is never closed ends with the pattern, as for Redis.
fn class(pattern: &[u8], mut p: usize, byte: u8) -> Option<usize> {
    let negated = pattern.get(p) == Some(&b'^');
    if negated {
        p += 1;
    }
    let mut found = false;
    let next = loop {
        match pattern[p..] {
            [] => break p,
            [b']', ..] => break p + 1,
            [b'\\', literal, ..] => {
                found |= literal == byte;
                p += 2;
            }
            [low, b'-', high, ..] => {
                found |= (low.min(high)..=low.max(high)).contains(&byte);
                p += 3;
            }
            [literal, ..] => {
                found |= literal == byte;
                p += 1;
            }
        }
    };
    (found != negated).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_redis() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything", true),
            ("a*", "abc", true),
            ("a*c", "abcbc", true),
            ("a*d", "abcbc", false),
            ("*a*b*", "xxaxxbxx", true),
            ("a**b", "ab", true),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("?", "", false),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-b]llo", "hbllo", true),
            ("h[b-a]llo", "hallo", true),
            // A range up to `]`, then a class that is never closed.
            ("[a-]", "_", true),
            ("[a-]", "-", false),
            ("[\\]]", "]", true),
            ("[abc", "b", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a\\", "a\\", true),
            ("abc", "abcd", false),
            ("abcd", "abc", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern:?} {text:?}");
        }
    }

    #[test]
    fn many_stars_cost_no_exponential_time() {
        let pattern = "a*".repeat(50) + "b";
        assert!(!matches(pattern.as_bytes(), "a".repeat(5000).as_bytes()));
    }
}
