//! The life of a replica: joining and leaving, its id and its clock, the ballots of the departed, and what is kept of it on disks.

pub(super) mod ballots;
pub(super) mod clock;
pub(super) mod eviction;
pub(super) mod expiry;
pub(super) mod hand_over;
pub(super) mod identity;
pub(super) mod joining;
pub(super) mod kept;
pub(super) mod record;
