//! What a causal context answers.

use crate::Dot;

/// A set of events that have been seen: the side of a merge that tells "removed" from "not yet heard of".
pub trait Observed {
    /// Whether the event named by `dot` is among those seen.
    fn covers(&self, dot: Dot) -> bool;
}

impl<T: Observed + ?Sized> Observed for &T {
    fn covers(&self, dot: Dot) -> bool {
        (**self).covers(dot)
    }
}
