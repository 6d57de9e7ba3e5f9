//! Reading the store: views of keys, cursors over them, notices of changes, and the cells that messages carry.

pub(super) mod carried;
pub(super) mod changes;
pub(super) mod draw;
pub(super) mod group;
pub(super) mod ordered;
pub(super) mod scan;
pub(super) mod sorted;
pub(super) mod stream;
mod value;
pub(super) mod view;
