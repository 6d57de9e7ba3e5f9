//! Where the live cells are kept: buckets of keys, keys as packed records, and what finds them.

pub(super) mod bucket;
pub(super) mod deadlines;
pub(super) mod entry;
pub(super) mod keys;
pub(super) mod name;
pub(super) mod order;
pub(super) mod origins;
pub(super) mod packed;
pub(super) mod records;
pub(super) mod size;
pub(super) mod table;
pub(super) mod uses;
pub(super) mod warm;
