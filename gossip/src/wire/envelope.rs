//! The envelope: which cluster and version a datagram belongs to, and the proof that it arrived as it was sent.
//!
//! ```text
//! magic 4 | version 1 | flags 1 | cluster 8 |              checksum 8 | kind 1 | payload     without a cluster key
//! magic 4 | version 1 | flags 1 | cluster 8 | nonce 24 | ( kind 1 | payload ) sealed, tag 16     with one
//! ```
//!
//! With a key everything after the nonce is sealed by XChaCha20-Poly1305, the bytes before it authenticated. The
//! nonce is the sender's replica id, a counter, and a number drawn at random for each start, so it never repeats under
//! one key. Datagrams may be replayed: every message of the engine is idempotent.

use std::borrow::Cow;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use cahoots_crdt::ReplicaId;

const MAGIC: [u8; 4] = *b"\xCAhts";
/// Raised with every change of the layout here or of the messages inside.
const VERSION: u8 = 11;
const FLAG_SEALED: u8 = 1;
const HEADER_BYTES: usize = 14;
const CHECKSUM_BYTES: usize = 8;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;

/// The secret that members of a cluster share.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterKey([u8; 32]);

impl ClusterKey {
    /// The key with these 32 bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes, for deriving other keys from.
    #[cfg(feature = "driver")]
    pub(crate) const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClusterKey(..)")
    }
}

/// For whom the payload of a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The membership protocol of the driver.
    Membership,
    /// The replication engine.
    Engine,
    /// The driver's question whether a member is reached, or the answer.
    Probe,
}

/// Why a datagram was refused. Nothing was touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Not a datagram of cahoots, or cut short.
    #[error("not a cahoots datagram")]
    Foreign,
    /// Of another version of the protocol.
    #[error("protocol version differs")]
    Version,
    /// Of another cluster.
    #[error("other cluster")]
    OtherCluster,
    /// Sealed while this replica has no key, or the other way round.
    #[error("sealed by a cluster key on one side only")]
    KeyMismatch,
    /// Altered on its way, or sealed by another key.
    #[error("checksum or seal does not hold")]
    Corrupt,
    /// Arrived whole, but holds no sequence of messages.
    #[error("malformed message")]
    Malformed,
    /// Meant for another replica: one that had this address before, most likely.
    #[error("meant for another replica")]
    OtherReceiver,
    /// Sent by a replica that membership has not announced.
    #[error("sender is no known peer")]
    UnknownPeer,
    /// A request whose answer would be longer than any can be.
    #[error("the answer would be longer than any can be")]
    TooLong,
}

/// Wraps and unwraps the datagrams of one replica.
pub struct Envelope {
    cluster: u64,
    cipher: Option<XChaCha20Poly1305>,
    /// Of further keys that are opened, and seal nothing.
    others: Vec<XChaCha20Poly1305>,
    sender: ReplicaId,
    salt: u64,
    /// Of the next nonce.
    counter: u64,
}

impl Envelope {
    /// The envelope of replica `sender` in the cluster of this name, sealed if there is a key. `salt` must be another
    /// at each start of a sender with a key.
    #[must_use]
    pub fn new(cluster: &str, key: Option<&ClusterKey>, sender: ReplicaId, salt: u64) -> Self {
        let cipher = key.map(|key| XChaCha20Poly1305::new(&key.0.into()));
        Self { cluster: xxh3_64(cluster.as_bytes()), cipher, others: Vec::new(), sender, salt, counter: 0 }
    }

    /// Seals by `key` from now on, and opens what is sealed by it or by one of `others`. The nonces go on, so this may be
    /// a key that was used before.
    pub fn set_keys(&mut self, key: &ClusterKey, others: &[ClusterKey]) {
        let cipher = |key: &ClusterKey| XChaCha20Poly1305::new(&key.0.into());
        (self.cipher, self.others) = (Some(cipher(key)), others.iter().map(cipher).collect());
    }

    /// How many bytes [`Envelope::wrap`] adds to a payload.
    #[must_use]
    pub fn overhead_bytes(&self) -> usize {
        HEADER_BYTES + 1 + if self.cipher.is_some() { NONCE_BYTES + TAG_BYTES } else { CHECKSUM_BYTES }
    }

    /// The datagram that carries `payload`.
    #[must_use]
    pub fn wrap(&mut self, kind: Kind, payload: &[u8]) -> Vec<u8> {
        let mut datagram = Vec::with_capacity(payload.len() + self.overhead_bytes());
        self.wrap_behind(&mut datagram, kind, payload);
        datagram
    }

    /// Appends the datagram that carries `payload` to what is in `bytes`.
    pub(crate) fn wrap_behind(&mut self, bytes: &mut Vec<u8>, kind: Kind, payload: &[u8]) {
        let start = bytes.len();
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[VERSION, if self.cipher.is_some() { FLAG_SEALED } else { 0 }]);
        bytes.extend_from_slice(&self.cluster.to_le_bytes());
        let Some(cipher) = &self.cipher else {
            bytes.extend_from_slice(&[0; CHECKSUM_BYTES]);
            bytes.push(kind as u8);
            bytes.extend_from_slice(payload);
            let (header, plain) = bytes[start..].split_at_mut(HEADER_BYTES + CHECKSUM_BYTES);
            let sum = xxh3_64_with_seed(plain, self.cluster);
            header[HEADER_BYTES..].copy_from_slice(&sum.to_le_bytes());
            return;
        };
        let mut nonce = [0; NONCE_BYTES];
        nonce[..8].copy_from_slice(&self.sender.get().to_le_bytes());
        nonce[8..16].copy_from_slice(&self.counter.to_le_bytes());
        nonce[16..].copy_from_slice(&self.salt.to_le_bytes());
        self.counter += 1;
        let plain = [&[kind as u8], payload].concat();
        let sealed = cipher.encrypt(&XNonce::from(nonce), Payload { msg: &plain, aad: &bytes[start..] });
        let sealed = sealed.expect("a datagram is far below the cipher's limit");
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&sealed);
    }

    /// The payload of a datagram, and for whom it is.
    ///
    /// # Errors
    /// It is not of this cluster, version and key, or not as it was sent.
    pub fn unwrap<'a>(&self, datagram: &'a [u8]) -> Result<(Kind, Cow<'a, [u8]>), Refusal> {
        let (header, rest) = datagram.split_at_checked(HEADER_BYTES).ok_or(Refusal::Foreign)?;
        if header[..4] != MAGIC {
            return Err(Refusal::Foreign);
        }
        if header[4] != VERSION {
            return Err(Refusal::Version);
        }
        if header[6..] != self.cluster.to_le_bytes() {
            return Err(Refusal::OtherCluster);
        }
        if header[5] != if self.cipher.is_some() { FLAG_SEALED } else { 0 } {
            return Err(Refusal::KeyMismatch);
        }
        let Some(cipher) = &self.cipher else {
            let (sum, plain) = rest.split_at_checked(CHECKSUM_BYTES).ok_or(Refusal::Foreign)?;
            if xxh3_64_with_seed(plain, self.cluster).to_le_bytes() != sum {
                return Err(Refusal::Corrupt);
            }
            let (kind, payload) = plain.split_first().ok_or(Refusal::Malformed)?;
            return Ok((kind_of(*kind)?, Cow::Borrowed(payload)));
        };
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(Refusal::Foreign)?;
        let nonce = XNonce::from(*nonce);
        let mut ciphers = std::iter::once(cipher).chain(&self.others);
        let opened = ciphers.find_map(|cipher| cipher.decrypt(&nonce, Payload { msg: sealed, aad: header }).ok());
        let mut plain = opened.ok_or(Refusal::Corrupt)?;
        let kind = kind_of(*plain.first().ok_or(Refusal::Malformed)?)?;
        plain.remove(0);
        Ok((kind, Cow::Owned(plain)))
    }
}

fn kind_of(code: u8) -> Result<Kind, Refusal> {
    match code {
        0 => Ok(Kind::Membership),
        1 => Ok(Kind::Engine),
        2 => Ok(Kind::Probe),
        _ => Err(Refusal::Malformed),
    }
}

impl std::fmt::Debug for Envelope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Envelope").field("cluster", &self.cluster).field("sealed", &self.cipher.is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(cluster: &str, key: Option<u8>) -> Envelope {
        let key = key.map(|byte| ClusterKey::new([byte; 32]));
        Envelope::new(cluster, key.as_ref(), ReplicaId::new(7), 9)
    }

    #[test]
    fn what_is_wrapped_unwraps_with_and_without_a_key() {
        for key in [None, Some(1)] {
            let mut envelope = envelope("c", key);
            let datagram = envelope.wrap(Kind::Engine, b"payload");
            assert_eq!(datagram.len(), 7 + envelope.overhead_bytes());
            assert_eq!(envelope.unwrap(&datagram), Ok((Kind::Engine, b"payload"[..].into())));
        }
    }

    #[test]
    fn while_keys_change_all_are_opened_and_the_first_seals() {
        let key = |byte| ClusterKey::new([byte; 32]);
        let (mut old, mut new, mut changing) = (envelope("c", Some(1)), envelope("c", Some(2)), envelope("c", Some(1)));
        let overhead = changing.overhead_bytes();
        changing.set_keys(&key(2), &[key(1)]);
        assert_eq!(changing.overhead_bytes(), overhead, "what fits a datagram stays the same");
        let sealed = changing.wrap(Kind::Engine, b"payload");
        assert!(new.unwrap(&sealed).is_ok());
        assert_eq!(old.unwrap(&sealed), Err(Refusal::Corrupt));
        for datagram in [old.wrap(Kind::Engine, b"old"), new.wrap(Kind::Engine, b"new")] {
            assert!(changing.unwrap(&datagram).is_ok());
        }
        changing.set_keys(&key(2), &[]);
        assert_eq!(changing.unwrap(&old.wrap(Kind::Engine, b"old")), Err(Refusal::Corrupt));
    }

    #[test]
    fn every_single_bit_flip_and_every_truncation_is_refused() {
        for key in [None, Some(1)] {
            let mut envelope = envelope("c", key);
            let datagram = envelope.wrap(Kind::Membership, b"payload");
            for bit in 0..datagram.len() * 8 {
                let mut altered = datagram.clone();
                altered[bit / 8] ^= 1 << (bit % 8);
                assert!(envelope.unwrap(&altered).is_err(), "bit {bit} flipped unnoticed");
            }
            for length in 0..datagram.len() {
                assert!(envelope.unwrap(&datagram[..length]).is_err(), "cut to {length} bytes unnoticed");
            }
        }
    }

    #[test]
    fn another_cluster_another_key_and_another_version_are_told_apart() {
        let mut mine = envelope("c", Some(1));
        let datagram = mine.wrap(Kind::Engine, b"x");
        assert_eq!(envelope("d", Some(1)).unwrap(&datagram), Err(Refusal::OtherCluster));
        assert_eq!(envelope("c", Some(2)).unwrap(&datagram), Err(Refusal::Corrupt));
        assert_eq!(envelope("c", None).unwrap(&datagram), Err(Refusal::KeyMismatch));
        let mut newer = datagram;
        newer[4] += 1;
        assert_eq!(mine.unwrap(&newer), Err(Refusal::Version));
        assert_eq!(mine.unwrap(b"GET / HTTP/1.1"), Err(Refusal::Foreign));
    }
}
