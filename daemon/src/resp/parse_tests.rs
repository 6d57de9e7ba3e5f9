//! What is read from a stream, whole and in pieces.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const LIMITS: FrameLimits = FrameLimits { inline_bytes_max: 64, bulk_bytes_max: 100, args_max: 8 };

/// Every frame of a stream and the error that ends it, if one does.
type Outcome = (Vec<Vec<Vec<u8>>>, Option<ProtocolError>);

/// Feeds `pieces` one after the other, as reads from a socket would come.
fn parse<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    parse_ahead(pieces, &[0])
}

/// The same, reading so many frames ahead before each is parsed; the numbers are used in turns.
fn parse_ahead<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, ahead: &[usize]) -> Outcome {
    let (mut parser, mut buffer, mut frames) = (Parser::new(LIMITS), Vec::new(), Vec::new());
    let mut wanted = ahead.iter().cycle();
    let mut announced: VecDeque<(usize, Vec<Vec<u8>>)> = VecDeque::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        let mut done = 0;
        loop {
            assert_eq!(parser.is_ahead(), !announced.is_empty());
            for _ in 0..*wanted.next().unwrap() {
                let rest = &buffer[done + announced.iter().map(|(length, _)| length).sum::<usize>()..];
                let Some(length) = parser.read_ahead(rest) else { break };
                let args = (0..parser.args_ahead()).map(|at| rest[parser.arg_ahead(at).unwrap()].to_vec()).collect();
                assert_eq!(parser.arg_ahead(parser.args_ahead()), None);
                announced.push_back((length, args));
            }
            match parser.parse(&mut buffer[done..]) {
                Ok(Some(length)) => {
                    let args: Vec<_> = parser.args(&buffer[done..done + length]).iter().map(<[u8]>::to_vec).collect();
                    if let Some(announced) = announced.pop_front() {
                        assert_eq!(announced, (length, args.clone()), "a frame is what it was when it was read ahead");
                    }
                    frames.push(args);
                    done += length;
                    parser.shrink();
                }
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
        buffer.drain(..done);
    }
    (frames, None)
}

fn whole(stream: &[u8]) -> Outcome {
    parse([stream])
}

#[test]
fn frames_are_read_one_after_the_other() {
    let (frames, error) = whole(b"*2\r\n$3\r\nGET\r\n$1\r\na\r\nPING  x\n*0\r\n*-3\r\n\r\n*1\r\n$0\r\n\r\n");
    assert_eq!(error, None);
    let expected: Vec<Vec<&[u8]>> = vec![vec![b"GET", b"a"], vec![b"PING", b"x"], vec![], vec![], vec![], vec![b""]];
    assert_eq!(frames, expected);
}

#[test]
fn what_is_no_resp_is_refused_in_the_words_of_redis() {
    let line = "1".repeat(70);
    for (stream, error) in [
        ("*x\r\n", "invalid multibulk length"),
        ("*\r\n", "invalid multibulk length"),
        ("*01\r\n", "invalid multibulk length"),
        ("*9\r\n", "invalid multibulk length"),
        ("*9223372036854775808\r\n", "invalid multibulk length"),
        ("*1\r\n*1\r\n", "expected '$', got '*'"),
        ("*1\r\nPING\r\n", "expected '$', got 'P'"),
        ("*1\r\n$-1\r\n", "invalid bulk length"),
        ("*1\r\n$101\r\n", "invalid bulk length"),
        ("*1\r\n$9223372036854775808\r\n", "invalid bulk length"),
        ("*1\r\n$+1\r\n", "invalid bulk length"),
        ("*1\r\n$\r\n", "invalid bulk length"),
        ("*1\r\n$1\rX", "invalid bulk length"),
        ("*1\r\n$1\r\nabc\r\n", "invalid bulk length"),
        (&format!("*{line}"), "too big mbulk count string"),
        (&format!("*{line}\r\n"), "too big mbulk count string"),
        (&format!("*1\r\n${line}"), "too big bulk count string"),
        (&line, "too big inline request"),
        (&format!("{line}\r\n"), "too big inline request"),
        ("GET \"a\r\n", "unbalanced quotes in request"),
    ] {
        let outcome = whole(stream.as_bytes());
        assert_eq!(outcome.1.map(|error| error.to_string()).as_deref(), Some(error), "{stream:?}");
        assert!(outcome.0.is_empty(), "{stream:?}");
    }
}

#[test]
fn each_limit_holds_at_its_edge() {
    let line = "x".repeat(LIMITS.inline_bytes_max - 1);
    assert_eq!(whole(format!("{line}\n").as_bytes()).1, None);
    assert_eq!(whole(format!("{line}x\n").as_bytes()).1, Some(ProtocolError::InlineTooLong));

    let bulk = |length: usize| format!("*1\r\n${length}\r\n{}\r\n", "x".repeat(length));
    assert_eq!(whole(bulk(LIMITS.bulk_bytes_max).as_bytes()).1, None);
    assert_eq!(whole(bulk(LIMITS.bulk_bytes_max + 1).as_bytes()).1, Some(ProtocolError::InvalidLength));

    let args = |count: usize| format!("*{count}\r\n{}", "$0\r\n\r\n".repeat(count));
    assert_eq!(whole(args(LIMITS.args_max).as_bytes()).1, None);
    assert_eq!(whole(args(LIMITS.args_max + 1).as_bytes()).1, Some(ProtocolError::InvalidCount));
}

#[test]
fn a_stream_may_be_cut_at_any_byte() {
    let streams: &[&[u8]] = &[
        b"*2\r\n$3\r\nGET\r\n$12\r\nabc\r\ndef\r\n12\r\nset \"a\\x41\" 'b'\r\n*1\r\n$4\r\nPING\r\n\n*0\r\n*1\r\n$0\r\n\r\n",
        b"PING\r\n*1\r\n$4\r\nPING\r\n*1\r\n$9999999999\r\n",
        b"*1\r\n$4\r\nPING\r\n*1\r\n$1\r\nabc",
    ];
    for stream in streams {
        let expected = whole(stream);
        assert_eq!(parse(stream.chunks(1)), expected, "byte by byte");
        for first in 0..stream.len() {
            for second in first..stream.len() {
                let pieces = [&stream[..first], &stream[first..second], &stream[second..]];
                assert_eq!(parse(pieces), expected, "cut at {first} and {second}");
            }
        }
    }
}

#[test]
fn a_value_in_many_reads_is_not_scanned_again() {
    let mut parser = Parser::new(FrameLimits { bulk_bytes_max: 1 << 20, ..LIMITS });
    let mut buffer = b"*2\r\n$3\r\nGET\r\n$1000\r\n".to_vec();
    assert_eq!(parser.parse(&mut buffer), Ok(None));
    let (at, value) = (parser.at, parser.value);
    assert_eq!((at, value), (buffer.len(), Some(1000)));
    for _ in 0..999 {
        buffer.push(b'x');
        // What lies before the value is not looked at again: spoiling it changes nothing.
        buffer[..at].fill(0);
        assert_eq!(parser.parse(&mut buffer), Ok(None));
        assert_eq!(parser.at, at);
    }
    buffer.extend_from_slice(b"x\r\n");
    assert_eq!(parser.parse(&mut buffer), Ok(Some(buffer.len())));
}

#[test]
fn a_declared_count_reserves_nothing() {
    let mut parser = Parser::new(FrameLimits { args_max: 1 << 20, ..LIMITS });
    assert_eq!(parser.parse(&mut b"*1048576\r\n".to_vec()), Ok(None));
    assert_eq!(parser.spans.capacity(), 0);
}

/// Streams near the grammar: valid frames, broken ones, and noise made of the bytes that matter.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let word = prop::collection::vec(any::<u8>(), 0..12);
    let frame = prop::collection::vec(word, 0..5).prop_map(|args| {
        let mut frame = format!("*{}\r\n", args.len()).into_bytes();
        for arg in args {
            frame.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            frame.extend_from_slice(&arg);
            frame.extend_from_slice(b"\r\n");
        }
        frame
    });
    let line = "[a-z \"'\\\\x0-9]{0,30}\r?\n".prop_map(String::into_bytes);
    let noise = "[*$\r\n0-9\\-a ]{0,12}".prop_map(String::into_bytes);
    let long = (40usize..90).prop_map(|length| vec![b'1'; length]);
    let part = prop_oneof![6 => frame, 2 => line, 1 => noise, 1 => long];
    prop::collection::vec(part, 0..9).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn any_stream_cut_anywhere_and_read_ahead_however_far_parses_the_same(
        stream in streams(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ahead in prop::collection::vec(0..6_usize, 1..5),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]);
        prop_assert_eq!(parse_ahead(pieces, &ahead), whole(&stream));
    }
}
