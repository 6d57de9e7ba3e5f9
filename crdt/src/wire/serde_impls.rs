//! A replicated value as a field of the user's own serde types: a byte string in the encoding of this module.

use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Limits, Wire};
use crate::Causal;

impl<S: Wire> Serialize for Causal<S> {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        serializer.serialize_bytes(&self.encode().map_err(Z::Error::custom)?)
    }
}

impl<'de, S: Wire> Deserialize<'de> for Causal<S> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(Bytes(PhantomData))
    }
}

struct Bytes<S>(PhantomData<S>);

impl<'de, S: Wire> Visitor<'de> for Bytes<S> {
    type Value = Causal<S>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an encoded replicated value")
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        Causal::decode(bytes, &Limits::default()).map_err(E::custom)
    }

    // Formats without byte strings write a sequence of numbers.
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = seq.next_element()? {
            if bytes.len() == Limits::default().bytes_max {
                return Err(A::Error::custom("an encoded value longer than the limit"));
            }
            bytes.push(byte);
        }
        self.visit_bytes(&bytes)
    }
}
