//! From a failing run to a short one that still fails.

use super::drive::run;
use super::plan::Plan;
use super::{Link, Report};

/// What a run came to: a report, or why it failed.
///
/// # Errors
/// The message of the panic that ended it.
pub fn attempt(plan: &Plan) -> Result<Report, String> {
    crate::attempt(|| run(plan))
}

/// Leaves out of a failing plan whatever it fails without. Returns the rest and its failure.
///
/// A failure of another kind is a failure too: what counts is that something does not hold.
#[must_use]
pub fn shrink(plan: Plan, mut failure: String) -> (Plan, String) {
    let mut plan = plan;
    let calm = Plan { link: Link::default(), ..plan.clone() };
    if let Err(other) = attempt(&calm) {
        (plan, failure) = (calm, other);
    }
    let mut size = plan.steps.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        let mut shorter = false;
        while at < plan.steps.len() {
            let mut fewer = plan.clone();
            fewer.steps.drain(at..(at + size).min(plan.steps.len()));
            match attempt(&fewer) {
                Err(other) => {
                    (plan, failure, shorter) = (fewer, other, true);
                }
                Ok(_) => at += size,
            }
        }
        if size == 1 && !shorter {
            break;
        }
        size = if size == 1 { 1 } else { size / 2 };
    }
    (plan, failure)
}
