//! Chitchat's way to the wire: its messages inside the engine's envelope, on the node's one port.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};

use anyhow::Context;
use async_trait::async_trait;
use chitchat::transport::{Socket, Transport};
use chitchat::{ChitchatMessage, Deserializable, Serializable};
use tokio::sync::mpsc;

use crate::driver::engine_lock::Shared;
use crate::driver::membership::seeds::Seeds;

/// Membership messages that wait for chitchat. A round of gossip in a cluster of a hundred brings a dozen.
pub const MEMBERSHIP_INBOX_MAX: usize = 256;

/// A membership message as it came, and from where.
pub(in crate::driver) type Inbound = (SocketAddr, Vec<u8>);

/// Compressed blocks accepted in one message. A block unpacks to at most 64 KiB, chitchat fills one with 16 KiB: an
/// honest message has a handful, and one made of 3,000 would unpack to hundreds of megabytes.
const BLOCKS_MAX: usize = 64;

pub(in crate::driver) struct MembershipTransport {
    pub(in crate::driver) shared: Arc<Shared>,
    pub(in crate::driver) seeds: Arc<Seeds>,
}

#[async_trait]
impl Transport for MembershipTransport {
    async fn open(&self, _: SocketAddr) -> anyhow::Result<Box<dyn Socket>> {
        let (sender, messages) = mpsc::channel(MEMBERSHIP_INBOX_MAX);
        *self.shared.membership.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        let (shared, seeds) = (Arc::clone(&self.shared), Arc::clone(&self.seeds));
        Ok(Box::new(MembershipSocket { shared, seeds, messages }))
    }
}

struct MembershipSocket {
    shared: Arc<Shared>,
    seeds: Arc<Seeds>,
    messages: mpsc::Receiver<Inbound>,
}

#[async_trait]
impl Socket for MembershipSocket {
    /// Never fails: gossip is repeated, and an error here would end chitchat's loop.
    async fn send(&mut self, to: SocketAddr, message: ChitchatMessage) -> anyhow::Result<()> {
        if matches!(message, ChitchatMessage::Syn { .. }) && !self.shared.may_call(to) {
            return Ok(());
        }
        self.shared.send_membership(to, &message.serialize_to_vec());
        if matches!(message, ChitchatMessage::SynAck { .. } | ChitchatMessage::Ack { .. }) {
            self.shared.told(to);
        }
        Ok(())
    }

    /// Cancel safe, as chitchat needs.
    async fn recv(&mut self) -> anyhow::Result<(SocketAddr, ChitchatMessage)> {
        loop {
            let (from, payload) = self.messages.recv().await.context("the node has stopped")?;
            match decode(&payload) {
                Some(message) => {
                    if matches!(message, ChitchatMessage::SynAck { .. }) {
                        self.seeds.note_heard(from);
                        self.shared.pace().answered(from);
                    }
                    return Ok((from, message));
                }
                None => self.shared.tally.membership_malformed.add(1),
            }
        }
    }
}

/// Decodes a payload from the network; `None` for anything that is not one whole honest message.
fn decode(payload: &[u8]) -> Option<ChitchatMessage> {
    if blocks(payload)? > BLOCKS_MAX {
        return None;
    }
    let mut rest = payload;
    let message = ChitchatMessage::deserialize(&mut rest).ok()?;
    rest.is_empty().then_some(message)
}

/// Counts the compressed blocks of a message without unpacking any; `None` where it is cut short.
///
/// Follows the layout of chitchat's message: magic and version (3 bytes), type, for SYN and SYN-ACK a digest, and for
/// SYN-ACK and ACK a delta, which is the sequence of blocks. What else is wrong is for the decoder to find.
fn blocks(payload: &[u8]) -> Option<usize> {
    let kind = *payload.get(3)?;
    let mut rest = Cut(&payload[4..]);
    if kind == SYN || kind == SYN_ACK {
        for _ in 0..rest.u16()? {
            // Name, generation, address, port; heartbeat and two versions.
            let name = rest.u16()?;
            rest.skip(usize::from(name) + 8)?;
            let ip = if rest.u8()? == 4 { 4 } else { 16 };
            rest.skip(ip + 2 + 3 * 8)?;
        }
    }
    let mut count = 0;
    if kind == SYN_ACK || kind == ACK {
        while rest.u8()? != NO_MORE_BLOCKS {
            let len = rest.u16()?;
            rest.skip(len.into())?;
            count += 1;
        }
    }
    Some(count)
}

const SYN: u8 = 0;
const SYN_ACK: u8 = 1;
const ACK: u8 = 2;
const NO_MORE_BLOCKS: u8 = 0;

struct Cut<'a>(&'a [u8]);

impl Cut<'_> {
    fn skip(&mut self, len: usize) -> Option<()> {
        self.0 = self.0.get(len..)?;
        Some(())
    }

    fn u8(&mut self) -> Option<u8> {
        let byte = *self.0.first()?;
        self.skip(1)?;
        Some(byte)
    }

    fn u16(&mut self) -> Option<u16> {
        let bytes = *self.0.first_chunk()?;
        self.skip(2)?;
        Some(u16::from_le_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of a SYN, by chitchat itself: the empty digest and a cluster name.
    fn syn() -> Vec<u8> {
        let mut bytes = vec![0x53, 0xb0, 0, SYN, 0, 0];
        bytes.extend([4, 0]);
        bytes.extend(b"name");
        bytes
    }

    /// An ACK whose delta is one stored block of `items`.
    fn ack(blocks: usize) -> Vec<u8> {
        let mut bytes = vec![0x53, 0xb0, 0, ACK];
        for _ in 0..blocks {
            // An empty block, not compressed.
            bytes.extend([2, 0, 0]);
        }
        bytes.push(NO_MORE_BLOCKS);
        bytes
    }

    #[test]
    fn honest_messages_decode_and_come_back_byte_for_byte() {
        for bytes in [syn(), ack(0)] {
            assert_eq!(decode(&bytes).unwrap().serialize_to_vec(), bytes);
        }
    }

    #[test]
    fn every_truncation_and_every_flipped_byte_is_survived() {
        for whole in [syn(), ack(3)] {
            for len in 0..whole.len() {
                assert!(decode(&whole[..len]).is_none(), "{len} bytes of {whole:?}");
            }
            for (at, flip) in (0..whole.len()).flat_map(|at| (1..=255).map(move |flip| (at, flip))) {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                // Some flips leave an honest message; what counts is that none panics.
                let _ = decode(&bytes);
            }
            let mut longer = whole.clone();
            longer.push(0);
            assert!(decode(&longer).is_none(), "trailing bytes");
        }
    }

    #[test]
    fn a_message_that_would_unpack_without_bound_is_refused_at_the_edge() {
        assert!(decode(&ack(BLOCKS_MAX)).is_some());
        assert!(decode(&ack(BLOCKS_MAX + 1)).is_none());
    }

    #[test]
    fn a_digest_is_skipped_for_both_address_families() {
        for (family, len) in [(4, 4), (6, 16)] {
            let mut bytes = vec![0x53, 0xb0, 0, SYN_ACK, 1, 0];
            bytes.extend([1, 0, b'n']);
            bytes.extend([0; 8]);
            bytes.push(family);
            bytes.extend(std::iter::repeat_n(1, len + 2));
            bytes.extend([7; 24]);
            bytes.push(NO_MORE_BLOCKS);
            assert_eq!(decode(&bytes).unwrap().serialize_to_vec(), bytes);
        }
    }
}
