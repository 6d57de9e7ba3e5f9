//! What arrives, what is missing of it, and how that is fetched: from one lost event to whole buckets.

pub(super) mod anti_entropy;
pub(super) mod assembly;
pub(super) mod delivery;
pub(super) mod pull;
pub(super) mod receive;
pub(super) mod reconcile;
pub(super) mod serve;
pub(super) mod versions;
pub(super) mod work;
