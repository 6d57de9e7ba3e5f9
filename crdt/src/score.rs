//! A score: the winning assignment, and the exact sum of what was added to it since.
//!
//! # Decision: increments in fixed point
//!
//! *Choice.* An increment is rounded once, by its author, to a multiple of 2⁻⁶⁴; totals are integers of 128 bits in
//! [`Tallies`], as in a counter. The sum is exact and free of order, and becomes a floating-point number once, when it is
//! read. So all replicas show the same bits, and what a removal observed is taken away exactly.
//!
//! *Rejected.* Sums of `f64`: of 20,000 random histories with three replicas 7,340 end in sums that depend on the order
//! of arrival, and of 1e16 plus 1, after a removal that saw 1e16, nothing is left. Folding increments into assignments:
//! a removal would take away what it had not seen, or nothing.
//!
//! *Price.* What is added lies between -2⁶² and 2⁶², in total for each replica; below 2⁻⁶⁴ it is nothing.

use crate::tallies::Tallies;
use crate::{
    CausalContext, Dot, DotFun, DotStore, Hlc, Mutation, ReplicaId, Reset, ScoreError, StaleStamp, VersionVector,
};

/// What is stored under one member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Score {
    pub(crate) assigned: DotFun<(Hlc, Number)>,
    pub(crate) added: Tallies,
}

/// A floating-point number that is no NaN, and not the negative zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Number(f64);

impl Number {
    pub(crate) fn new(number: f64) -> Option<Self> {
        // 0.0 + -0.0 is 0.0, and nothing else changes.
        if number.is_nan() { None } else { Some(Self(number + 0.0)) }
    }

    pub(crate) fn get(self) -> f64 {
        self.0
    }
}

// There is no NaN.
impl Eq for Number {}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// Increments and totals lie below 2⁶², so that what is left of one after another was taken away fits 128 bits.
const TOTAL_MAX: i128 = 1 << 126;
/// 2⁶⁴: how many units make one.
const UNITS: f64 = 18_446_744_073_709_551_616.0;
const FRACTION: i128 = u64::MAX as i128;

impl Score {
    /// What a reader sees; `None` if the member is not in.
    pub(crate) fn value(&self) -> Option<Number> {
        if !self.is_live() {
            return None;
        }
        // Cells are sorted by replica; of equal maxima `max_by_key` takes the last.
        let assigned = self.assigned.iter().map(|(_, write)| write).max_by_key(|write| write.0);
        // An assigned infinity stays one: a sum is finite.
        Number::new(assigned.map_or(0.0, |(_, number)| number.get()) + self.sum())
    }

    /// What was added, rounded once. Whole units and fractions are summed apart, so nothing a peer makes up overflows.
    fn sum(&self) -> f64 {
        let (mut whole, mut fraction) = (0_i128, 0_i128);
        for (total, taken) in self.added.counted() {
            whole += (total >> 64) - (taken >> 64);
            fraction += (total & FRACTION) - (taken & FRACTION);
        }
        whole += fraction >> 64;
        fraction &= FRACTION;
        match i64::try_from(whole) {
            Ok(whole) => (i128::from(whole) << 64 | fraction) as f64 / UNITS,
            // So large that the fraction only says on which side of a tie the sum lies.
            Err(_) => (whole | i128::from(fraction != 0)) as f64,
        }
    }

    /// Assigns `number`, over all that is seen here.
    pub(crate) fn set(&mut self, mutation: &mut Mutation<'_>, stamp: Hlc, number: Number) -> Result<Self, StaleStamp> {
        if self.assigned.iter().any(|(_, (seen, _))| *seen >= stamp) {
            return Err(StaleStamp);
        }
        let dot = mutation.mint();
        mutation.supersede_all(&self.assigned);
        self.assigned = DotFun::of(dot, (stamp, number));
        Ok(Self { assigned: self.assigned.clone(), added: self.added.reset(mutation, dot) })
    }

    /// Adds `amount`, of 0 too.
    pub(crate) fn add(&mut self, mutation: &mut Mutation<'_>, amount: f64) -> Result<Self, ScoreError> {
        let amount = units(amount)?;
        let total = self.added.cells.own(mutation.replica()).map_or(0, |(_, tally)| tally.total);
        let total = total.checked_add(amount).filter(|total| (1 - TOTAL_MAX..TOTAL_MAX).contains(total));
        total.ok_or(ScoreError::TooLarge)?;
        let added = self.added.add(mutation, amount).map_err(|_| ScoreError::TooLarge)?;
        Ok(Self { assigned: DotFun::new(), added })
    }
}

/// The nearest multiple of 2⁻⁶⁴, the even one of two.
fn units(amount: f64) -> Result<i128, ScoreError> {
    if amount.is_nan() {
        return Err(ScoreError::NotANumber);
    }
    // A power of two: exact.
    let scaled = amount * UNITS;
    if scaled.abs() >= TOTAL_MAX as f64 {
        return Err(ScoreError::TooLarge);
    }
    // Within 128 bits, as was just seen; towards zero. From 2⁵³ on there is nothing to round.
    #[allow(clippy::cast_possible_truncation)]
    let towards_zero = scaled as i128;
    let rest = (scaled - towards_zero as f64).abs();
    let is_up = rest > 0.5 || (rest == 0.5 && towards_zero & 1 == 1);
    Ok(towards_zero + if is_up { if amount < 0.0 { -1 } else { 1 } } else { 0 })
}

impl DotStore for Score {
    const LEAVES_RESIDUE: bool = true;

    fn is_bottom(&self) -> bool {
        self.assigned.is_empty() && self.added.is_bottom()
    }

    fn has_dots(&self) -> bool {
        self.is_live()
    }

    fn is_live(&self) -> bool {
        !self.assigned.is_empty() || self.added.is_live()
    }

    fn join(&mut self, my_context: &CausalContext, theirs: Self, their_context: &CausalContext) {
        DotStore::join(&mut self.assigned, my_context, theirs.assigned, their_context);
        self.added.join(my_context, theirs.added, their_context);
    }

    fn forget(&mut self, context: &CausalContext) {
        self.assigned.forget(context);
        self.added.forget(context);
    }

    fn make_whole(&mut self) {}

    fn for_each_dot(&self, visit: &mut dyn FnMut(Dot)) {
        self.assigned.for_each_dot(visit);
        self.added.for_each_dot(visit);
    }

    fn since(&self, seen: &VersionVector) -> Self {
        Self { assigned: self.assigned.since(seen), added: self.added.since(seen) }
    }

    fn atoms(self, emit: &mut dyn FnMut(Self)) {
        self.assigned.atoms(&mut |assigned| emit(Self { assigned, added: Tallies::default() }));
        self.added.atoms(&mut |added| emit(Self { assigned: DotFun::new(), added }));
    }

    fn strip(&mut self) {
        *self = Self::default();
    }

    fn collect(&mut self, owner: ReplicaId, acked: &CausalContext, mine: &CausalContext) {
        self.added.collect(owner, acked, mine);
    }
}

impl Reset for Score {
    fn reset(&mut self, mutation: &mut Mutation<'_>, event: Dot) -> Self {
        Self { assigned: self.assigned.reset(mutation, event), added: self.added.reset(mutation, event) }
    }
}
