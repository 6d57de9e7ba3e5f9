//! What every replica must show, computed from what clients did and from nothing else.
//!
//! The oracle never looks at cells, contexts, clocks or datagrams. It knows the operations clients ran, which
//! of them each writer had *observed* (applied in that key's bucket at its replica when the operation ran), and
//! which of them a given replica has applied. From these three it derives the one value a key may show there:
//!
//! - an assignment, a member or an increment is **live** unless an applied operation that observed it superseded it;
//! - what is live is **hidden** once the deadline that rules it has passed;
//! - of a list all elements that are live are shown, in one order everywhere: see `list.rs`;
//! - a key shows the class of the live operation with the highest clock, and of that class everything live, as far as it
//!   is not hidden.
//!
//! The stamp of each operation (the writer's hybrid logical clock when it ran) is taken from the engine, and is
//! itself judged: above every stamp its writer had observed, and not behind the writer's wall clock.

mod action;
mod bucket;
mod ends;
mod expectation;
mod history;
mod lifetime;
mod list;
mod readers;
mod shown;

pub use action::{Action, EndRule, Name, Path};
pub use bucket::bucket_of;
pub use ends::Ends;
pub use expectation::Complaint;
pub use history::{History, Knowledge, Operation};
pub use list::{ListCommand, ListEdit};
pub use readers::Readers;
pub use shown::Shown;
