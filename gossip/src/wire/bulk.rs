//! Requests that one peer answers at once, on a reliable stream: what is too much for datagrams.
//!
//! A request and its answer are one byte of version and one value by postcard. Whoever answers keeps nothing: two
//! requests have as little to do with each other as two datagrams.

use serde::{Deserialize, Serialize};

use super::Refusal;
use crate::bytes::Bytes;
use crate::store::BUCKETS;

/// Raised with every change of what is below.
const VERSION: u8 = 1;

/// Bytes of a request at most: the longest of fingerprints of every bucket, with room to spare.
pub const REQUEST_BYTES_MAX: usize = 256 << 10;

/// What a replica asks of a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Request {
    /// A transfer of buckets from `first` on, of which the sender has these fingerprints.
    Buckets { first: u16, fingerprints: Vec<u64> },
}

/// What the peer says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer<'a> {
    /// Not now: the bound on what is given out is reached. Worth asking again in so many milliseconds.
    Busy { after_ms: u32 },
    /// A transfer of the buckets asked for up to `next`, exclusive: as many as made an answer of a handy size.
    Buckets {
        next: u16,
        #[serde(borrow)]
        transfer: Bytes<'a>,
    },
}

impl Request {
    pub(crate) fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![VERSION]).expect("a request is plain data")
    }

    /// # Errors
    /// Of another version, or no request that makes sense.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        let request = decode(bytes)?;
        let Self::Buckets { first, fingerprints } = &request;
        let sound = !fingerprints.is_empty() && usize::from(*first) + fingerprints.len() <= BUCKETS;
        if sound { Ok(request) } else { Err(Refusal::Malformed) }
    }
}

impl<'a> Answer<'a> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![VERSION]).expect("an answer is plain data")
    }

    /// # Errors
    /// Of another version, or malformed.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, Refusal> {
        decode(bytes)
    }
}

fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Refusal> {
    let (version, rest) = bytes.split_first().ok_or(Refusal::Malformed)?;
    if *version != VERSION {
        return Err(Refusal::Version);
    }
    match postcard::take_from_bytes(rest) {
        Ok((value, [])) => Ok(value),
        _ => Err(Refusal::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_answers_are_read_back_and_another_version_is_refused() {
        let request = Request::Buckets { first: 7, fingerprints: vec![0, u64::MAX] };
        let mut bytes = request.encode();
        assert_eq!(Request::decode(&bytes), Ok(request));
        bytes[0] += 1;
        assert_eq!(Request::decode(&bytes), Err(Refusal::Version));
        for answer in [Answer::Busy { after_ms: 9 }, Answer::Buckets { next: 9, transfer: Bytes(b"cells") }] {
            assert_eq!(Answer::decode(&answer.encode()), Ok(answer));
        }
    }

    #[test]
    fn a_request_beyond_the_last_bucket_for_none_or_with_more_behind_it_is_refused() {
        let all = Request::Buckets { first: 0, fingerprints: vec![u64::MAX; BUCKETS] };
        let encoded = all.encode();
        assert!(encoded.len() <= REQUEST_BYTES_MAX);
        assert!(Request::decode(&encoded).is_ok());
        for (first, count) in [(1, BUCKETS), (0, BUCKETS + 1), (u16::MAX, 1), (0, 0)] {
            let beyond = Request::Buckets { first, fingerprints: vec![0; count] };
            assert_eq!(Request::decode(&beyond.encode()), Err(Refusal::Malformed));
        }
        let more = [encoded, vec![0]].concat();
        assert_eq!(Request::decode(&more), Err(Refusal::Malformed));
        assert_eq!(Request::decode(&[]), Err(Refusal::Malformed));
    }
}
