//! The body of the fuzz target, also run under `cargo test` over a committed corpus.
//!
//! Not part of the public interface. A fuzz target is `|bytes: &[u8]| cahoots_crdt::exercise::decoding(bytes)`.

use alloc::string::String;
use alloc::vec::Vec;

use crate::wire::Wire;
use crate::{
    AppendLog, AwSet, BoundedCounter, Causal, Delta, DwFlag, EwFlag, GCounter, GSet, Hlc, Lattice, Limits, List,
    LwwRegister, MaxRegister, MinRegister, MvRegister, OrMap, PnCounter, ReplicaId, Reset, RwSet, ScoreMap, Vote,
};

const LIMITS: Limits = Limits { bytes_max: 1 << 16, entries_max: 1 << 12, depth_max: 8, replicas_max: 256 };

/// Decodes `bytes` as every type, and with what decodes does all that a peer could make this library do.
///
/// # Panics
/// On a fault of this library: that is what it is for.
pub fn decoding(bytes: &[u8]) {
    resettable::<GCounter>(bytes);
    resettable::<PnCounter>(bytes);
    any::<BoundedCounter>(bytes);
    resettable::<GSet<u8>>(bytes);
    resettable::<AwSet<Vec<u8>>>(bytes);
    resettable::<RwSet<String>>(bytes);
    resettable::<LwwRegister<u8, Hlc>>(bytes);
    resettable::<MvRegister<Vec<u8>>>(bytes);
    resettable::<MaxRegister<i64>>(bytes);
    resettable::<MinRegister<i64>>(bytes);
    resettable::<EwFlag>(bytes);
    resettable::<DwFlag>(bytes);
    resettable::<Vote>(bytes);
    resettable::<List<Vec<u8>>>(bytes);
    resettable::<OrMap<u8, List<u8>>>(bytes);
    resettable::<ScoreMap<u8>>(bytes);
    resettable::<OrMap<u8, ScoreMap<u8>>>(bytes);
    resettable::<AppendLog<Vec<u8>>>(bytes);
    resettable::<OrMap<u8, AppendLog<u8>>>(bytes);
    resettable::<OrMap<u8, PnCounter>>(bytes);
    resettable::<OrMap<u8, OrMap<u8, AwSet<u8>>>>(bytes);
    any::<OrMap<u8, BoundedCounter>>(bytes);
    // Members of no bytes at all: counts alone must not make work.
    resettable::<AwSet<()>>(bytes);
}

fn any<S: Wire + PartialEq>(bytes: &[u8]) -> Option<Causal<S>> {
    let value = Causal::<S>::decode(bytes, &LIMITS).ok()?;
    let encoded = value.encode().expect("what was decoded can be encoded");
    let again = Causal::<S>::decode(&encoded, &LIMITS).expect("what was encoded can be decoded");
    assert_eq!(again.encode().as_ref(), Ok(&encoded), "encoding is a function of the value");

    let mut state = Causal::<S>::new();
    state.merge(value.clone());
    state.merge(value.clone());
    let lacking = state.since(value.context().version_vector());
    let mut delta = value.clone();
    delta.merge(lacking);
    for piece in value.clone().split(64).expect("what was decoded can be encoded") {
        state.merge(piece);
    }
    delta.merge(state);
    for run in value.context().runs() {
        delta.collect(run.replica, value.context());
    }
    Some(delta)
}

fn resettable<S: Wire + PartialEq + Reset>(bytes: &[u8]) {
    if let Some(mut state) = any::<S>(bytes) {
        let replica = state.context().runs().next().map_or(ReplicaId::new(1), |run| run.replica);
        let cleared = state.clear(replica);
        state.merge(cleared);
        assert!(!state.is_live(), "a cleared value shows nothing");
    }
}
