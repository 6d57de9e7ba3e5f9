//! Requests that one peer answers at once, on a reliable stream: what is too much for datagrams.
//!
//! A request and its answer are one byte of version and one value by postcard. The peer that answers keeps nothing: two
//! requests have as little to do with each other as two datagrams.

use serde::{Deserialize, Serialize};

use super::Refusal;
use crate::bytes::{Bytes, append};
use crate::store::{BUCKETS, Sketch};

/// Raised with every change of what is below.
const VERSION: u8 = 2;

/// Bytes of a request at most: the longest of fingerprints of every bucket, with room to spare.
pub const REQUEST_BYTES_MAX: usize = 256 << 10;

/// Bytes of an answer at most: what 32 bits before it on a stream can say.
pub const ANSWER_BYTES_MAX: usize = u32::MAX as usize;

/// What a replica asks of a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Request {
    /// A transfer of buckets from `first` on, of which the sender has these fingerprints. Large ones are sent only if
    /// they are wanted `whole`, or there is nothing of them at the sender.
    Buckets { first: u16, fingerprints: Fingerprints, whole: bool },
    /// What the receiver's buckets differ in from those that this is a sketch of.
    Differences(Sketch),
}

/// The low halves of fingerprints, eight bytes each: as varints most would take ten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprints(pub(crate) Vec<u64>);

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
    /// A transfer of what the first `count` of the buckets asked for differ in: as many as made an answer of a handy size.
    Differences {
        count: u16,
        #[serde(borrow)]
        transfer: Bytes<'a>,
    },
    /// The sketch has too few symbols for what the buckets differ in.
    Undecoded,
}

impl Request {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        append(self, &mut bytes);
        bytes
    }

    /// # Errors
    /// Of another version, or no request that makes sense.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        let request = decode(bytes)?;
        let sound = match &request {
            Self::Buckets { first, fingerprints: Fingerprints(them), .. } => {
                !them.is_empty() && usize::from(*first) + them.len() <= BUCKETS
            }
            Self::Differences(sketch) => sketch.is_sound(),
        };
        if sound { Ok(request) } else { Err(Refusal::Malformed) }
    }
}

impl Serialize for Fingerprints {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|it| it.to_le_bytes()))
    }
}

impl<'de> Deserialize<'de> for Fingerprints {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let them = Vec::<[u8; 8]>::deserialize(deserializer)?;
        Ok(Self(them.into_iter().map(u64::from_le_bytes).collect()))
    }
}

impl<'a> Answer<'a> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        append(self, &mut bytes);
        bytes
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
    use crate::Limits;
    use crate::store::Store;

    #[test]
    fn requests_and_answers_are_read_back_and_another_version_is_refused() {
        let sketch = Store::new(cahoots_crdt::ReplicaId::new(1), Limits::default(), 1_024).sketch([3, 5], 9, 1);
        let fingerprints = Fingerprints(vec![0, u64::MAX]);
        for request in [Request::Buckets { first: 7, fingerprints, whole: true }, Request::Differences(sketch)] {
            let mut bytes = request.encode();
            assert_eq!(Request::decode(&bytes), Ok(request));
            bytes[0] += 1;
            assert_eq!(Request::decode(&bytes), Err(Refusal::Version));
        }
        let transfer = Bytes(b"cells");
        let differences = Answer::Differences { count: 2, transfer };
        for answer in
            [Answer::Busy { after_ms: 9 }, Answer::Buckets { next: 9, transfer }, differences, Answer::Undecoded]
        {
            assert_eq!(Answer::decode(&answer.encode()), Ok(answer));
        }
    }

    #[test]
    fn a_request_beyond_the_last_bucket_for_none_twice_for_one_or_with_more_behind_it_is_refused() {
        let request = |first, count| {
            let fingerprints = Fingerprints(vec![u64::MAX; count]);
            Request::Buckets { first, fingerprints, whole: false }
        };
        let all = request(0, BUCKETS);
        let encoded = all.encode();
        assert!(encoded.len() <= REQUEST_BYTES_MAX);
        assert!(Request::decode(&encoded).is_ok());
        for (first, count) in [(1, BUCKETS), (0, BUCKETS + 1), (u16::MAX, 1), (0, 0)] {
            assert_eq!(Request::decode(&request(first, count).encode()), Err(Refusal::Malformed));
        }
        let mut store = Store::new(cahoots_crdt::ReplicaId::new(1), Limits::default(), 1_024);
        for buckets in [vec![], vec![4, 4], vec![5, 4]] {
            let unsound = Request::Differences(store.sketch(buckets, 9, 1));
            assert_eq!(Request::decode(&unsound.encode()), Err(Refusal::Malformed));
        }
        let longest = Request::Differences(store.sketch(0..BUCKETS, usize::MAX, 1)).encode();
        assert!(longest.len() <= REQUEST_BYTES_MAX && Request::decode(&longest).is_ok());
        let more = [encoded, vec![0]].concat();
        assert_eq!(Request::decode(&more), Err(Refusal::Malformed));
        assert_eq!(Request::decode(&[]), Err(Refusal::Malformed));
    }
}
