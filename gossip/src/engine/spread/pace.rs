//! Flow control: how fast datagrams may leave.
//!
//! A token bucket, kept as the time at which it would be full again (the generic cell rate algorithm of ATM): no
//! rounding, no timer of its own. Acknowledgements, questions and requests pass an empty bucket and are charged for all
//! the same; what carries data waits.

/// What may leave at once after a pause, as time at the configured rate: 20 ms, so that a flush of many events is no
/// slower than its wire, and a receive buffer of megabytes is not overrun at gigabits.
const BURST_NS: u64 = 20_000_000;
/// What passes in spite of an empty bucket delays data by no more than this.
const DEBT_NS: u64 = 1_000_000_000;

/// How much has left lately.
#[derive(Debug, Default)]
pub(in crate::engine) struct Pace {
    /// When all of it would have left at the configured rate, in nanoseconds.
    done_at: u64,
}

impl Pace {
    /// When data may leave, in microseconds; in the past if it may now.
    pub(in crate::engine) fn ready_at(&self) -> u64 {
        self.done_at.saturating_sub(BURST_NS).div_ceil(1_000)
    }

    /// Notes that so many bytes leave. No rate, no bound.
    pub(in crate::engine) fn charge(&mut self, now_us: u64, rate: Option<u64>, bytes: usize) {
        let Some(rate) = rate else { return };
        let now = now_us.saturating_mul(1_000);
        let cost = (bytes as u64).saturating_mul(1_000_000_000) / rate.max(1);
        self.done_at = self.done_at.max(now).saturating_add(cost).min(now.saturating_add(BURST_NS + DEBT_NS));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let (mut pace, mut now, mut sent) = (Pace::default(), 5_000_000, 0);
        let end = now + 1_000_000;
        while now < end {
            if pace.ready_at() <= now {
                pace.charge(now, Some(100_000), 1_000);
                sent += 1_000;
            } else {
                now = pace.ready_at();
            }
        }
        assert_eq!(sent, 100_000 + 2_000, "a second and the burst");
    }

    #[test]
    fn what_may_not_wait_delays_data_for_a_second_at_most() {
        let mut pace = Pace::default();
        (0..1_000).for_each(|_| pace.charge(7, Some(10), 1_000));
        assert!(pace.ready_at() <= 7 + 1_000_000);
    }

    #[test]
    fn without_a_rate_nothing_ever_waits() {
        let mut pace = Pace::default();
        pace.charge(7, None, usize::MAX);
        assert_eq!(pace.ready_at(), 0);
    }
}
