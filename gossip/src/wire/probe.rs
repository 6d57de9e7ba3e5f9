//! Probes: whether two replicas reach each other where they announce to be.
//!
//! ```text
//! sender 8 | receiver 8 | ask 4 | echo 4 | padding
//! ```
//!
//! Ids are big-endian, numbers little-endian. `ask` is a number that the sender wants to have echoed, `echo` one that it
//! echoes; zero stands for none. The padding brings a probe to the length whose passage is in question.

use cahoots_crdt::ReplicaId;

/// Bytes of a probe before its padding.
const PROBE_BYTES: usize = 24;

/// One probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Who asks or answers.
    pub sender: ReplicaId,
    /// Who is asked or answered.
    pub receiver: ReplicaId,
    /// What the receiver is to echo; 0 if nothing.
    pub ask: u32,
    /// What the receiver had asked; 0 if it had not.
    pub echo: u32,
}

impl Probe {
    /// The probe as a payload of `length` bytes, or as short as it can be.
    #[must_use]
    pub fn encode(&self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length.max(PROBE_BYTES));
        bytes.extend(self.sender.get().to_be_bytes());
        bytes.extend(self.receiver.get().to_be_bytes());
        bytes.extend(self.ask.to_le_bytes());
        bytes.extend(self.echo.to_le_bytes());
        bytes.resize(length.max(PROBE_BYTES), 0);
        bytes
    }

    /// The probe in a payload; `None` if that is too short for one.
    #[must_use]
    pub fn decode(payload: &[u8]) -> Option<Self> {
        let (sender, rest) = payload.split_first_chunk()?;
        let (receiver, rest) = rest.split_first_chunk()?;
        let (ask, rest) = rest.split_first_chunk()?;
        let (echo, _) = rest.split_first_chunk()?;
        Some(Self {
            sender: ReplicaId::new(u64::from_be_bytes(*sender)),
            receiver: ReplicaId::new(u64::from_be_bytes(*receiver)),
            ask: u32::from_le_bytes(*ask),
            echo: u32::from_le_bytes(*echo),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_of_any_length_is_read_back_and_one_cut_short_is_none() {
        let probe = Probe { sender: ReplicaId::new(1), receiver: ReplicaId::new(u64::MAX), ask: 7, echo: 0 };
        for length in [0, PROBE_BYTES, 1_200] {
            let bytes = probe.encode(length);
            assert_eq!(bytes.len(), length.max(PROBE_BYTES));
            assert_eq!(Probe::decode(&bytes), Some(probe));
        }
        for length in 0..PROBE_BYTES {
            assert_eq!(Probe::decode(&probe.encode(0)[..length]), None);
        }
    }
}
