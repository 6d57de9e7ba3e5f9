//! LZF, the compression of long strings in payloads: runs of bytes, and copies of what came before.

/// What one byte of a compressed string becomes at most: a copy of three bytes is 264 long.
const GROWTH_MAX: usize = 88;

/// The string, which is to be `len` bytes long; `None` if it is not.
pub(super) fn decompress(mut packed: &[u8], len: usize) -> Option<Vec<u8>> {
    if len > packed.len().saturating_mul(GROWTH_MAX) {
        return None;
    }
    let mut text = Vec::with_capacity(len);
    while let Some((&control, rest)) = packed.split_first() {
        packed = rest;
        if control < 0x20 {
            let (run, rest) = packed.split_at_checked(usize::from(control) + 1)?;
            packed = rest;
            text.extend_from_slice(run);
        } else {
            let mut count = usize::from(control >> 5);
            if count == 7 {
                let (&more, rest) = packed.split_first()?;
                packed = rest;
                count += usize::from(more);
            }
            let (&low, rest) = packed.split_first()?;
            packed = rest;
            let back = (usize::from(control & 0x1F) << 8 | usize::from(low)) + 1;
            let from = text.len().checked_sub(back)?;
            // What is copied may reach into what is being written.
            for at in from..from + count + 2 {
                text.push(text[at]);
            }
        }
        if text.len() > len {
            return None;
        }
    }
    (text.len() == len).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_copies_become_what_they_stand_for() {
        assert_eq!(decompress(b"\x02abc\x60\x02x", 3), None, "longer than was said");
        assert_eq!(decompress(b"\x02abc\x20\x02", 6).as_deref(), Some(&b"abcabc"[..]));
        assert_eq!(decompress(b"\x00a\xE0\x05\x00", 15).as_deref(), Some(&[b'a'; 15][..]));
        assert_eq!(decompress(b"", 0), Some(Vec::new()));
    }

    #[test]
    fn what_reaches_before_the_beginning_or_ends_too_early_is_refused() {
        for packed in [&b"\x00a\x20\x01"[..], b"\x02ab", b"\x00a\x20", b"\xE0", b"\x00a\xE0\x05"] {
            assert_eq!(decompress(packed, 4), None);
        }
        assert_eq!(decompress(b"\x00a", usize::MAX), None, "no room is made for what cannot be");
    }
}
