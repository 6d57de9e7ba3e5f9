//! Delta-state CRDTs (the kernel: dots, version vectors, dot stores).
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod dot;
mod dot_fun;
mod observed;
mod replica_id;
mod version_vector;

pub use dot::Dot;
pub use dot_fun::DotFun;
pub use observed::Observed;
pub use replica_id::ReplicaId;
pub use version_vector::VersionVector;
