//! From a failing run to a short one that still fails.

use std::time::{Duration, Instant};

use super::drive::run;
use super::plan::Plan;
use super::{Link, Report};

/// How long to look for a shorter run.
const PATIENCE: Duration = Duration::from_secs(100);

/// What a run came to: a report, or why it failed.
///
/// # Errors
/// The message of the panic that ended it.
pub fn attempt(plan: &Plan) -> Result<Report, String> {
    crate::attempt(|| run(plan))
}

/// Leaves out of a failing plan whatever it fails without. Returns the rest and its failure.
///
/// A failure counts if it begins with the same words; after a while what was found so far is returned.
#[must_use]
pub fn shrink(plan: Plan, mut failure: String) -> (Plan, String) {
    let (mut plan, begun) = (plan, Instant::now());
    let kind: String = failure.chars().filter(|letter| !letter.is_ascii_digit()).take(24).collect();
    let same =
        |other: &str| other.chars().filter(|letter| !letter.is_ascii_digit()).take(24).collect::<String>() == kind;
    let calm = Plan { link: Link::default(), other_links: Vec::new(), ..plan.clone() };
    if let Err(other) = attempt(&calm)
        && same(&other)
    {
        (plan, failure) = (calm, other);
    }
    let mut size = plan.steps.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        let mut shorter = false;
        while at < plan.steps.len() && begun.elapsed() < PATIENCE {
            let mut fewer = plan.clone();
            fewer.steps.drain(at..(at + size).min(plan.steps.len()));
            match attempt(&fewer) {
                Err(other) if same(&other) => {
                    (plan, failure, shorter) = (fewer, other, true);
                }
                _ => at += size,
            }
        }
        if (size == 1 && !shorter) || begun.elapsed() >= PATIENCE {
            break;
        }
        size = if size == 1 { 1 } else { size / 2 };
    }
    (plan, failure)
}
