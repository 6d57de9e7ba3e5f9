//! What somebody does who ships deltas with this library's means: over links that lose, repeat and reorder, through a
//! causal barrier, in pieces, as differences.

use cahoots_crdt::{
    AwSet, BarrierError, Causal, CausalBarrier, CausalContext, Delta, HybridClock, Lattice, Limits, LwwRegister,
    Mutation, MvRegister, OrMap, Overflow, Parcel, PnCounter, ReplicaId, RwSet,
};

type Inner = OrMap<u8, PnCounter>;
type Deep = Causal<OrMap<u8, OrMap<u8, Inner>>>;

/// A sequence of numbers that is the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn pick(&mut self, length: usize) -> usize {
        usize::try_from(self.roll(length as u64)).unwrap()
    }
}

struct Replica {
    id: ReplicaId,
    state: Deep,
    barrier: CausalBarrier<Vec<u8>>,
    /// Everything sent or received, to be sent again to whoever asks.
    kept: Vec<Parcel<Vec<u8>>>,
}

impl Replica {
    fn new(id: u64) -> Self {
        let id = ReplicaId::new(id);
        Self { id, state: Deep::new(), barrier: CausalBarrier::new(id, 20), kept: Vec::new() }
    }

    fn change(&mut self, dice: &mut Dice) -> Result<(), Overflow> {
        let [outer, middle, inner] = [(); 3].map(|()| dice.roll(2).to_le_bytes()[0]);
        let amount = i64::try_from(dice.roll(9)).unwrap() - 3;
        let delta = match dice.roll(6) {
            0 => self.state.remove(self.id, &outer),
            1 => self.state.update(self.id, outer, |map, m| map.remove(m, &middle)),
            2 => self.state.update(self.id, outer, |map, m| map.update(m, middle, |map, m| map.remove(m, &inner))),
            _ => self.state.try_update(self.id, outer, |map, m| {
                map.try_update(m, middle, |map, m| map.try_update(m, inner, |counter, m| counter.add(m, amount)))
            })?,
        };
        if !delta.is_bottom() {
            let parcel = self.barrier.send(delta.encode().unwrap());
            self.kept.push(parcel);
        }
        Ok(())
    }

    /// Changes until something is sent.
    fn send(&mut self, dice: &mut Dice) -> Result<Parcel<Vec<u8>>, Overflow> {
        let kept = self.kept.len();
        while self.kept.len() == kept {
            self.change(dice)?;
        }
        Ok(self.kept[kept].clone())
    }

    fn receive(&mut self, parcel: &Parcel<Vec<u8>>) {
        match self.barrier.receive(parcel.clone()) {
            Ok(payloads) => {
                self.merge(payloads);
                if !self.kept.iter().any(|kept| kept.dot == parcel.dot) {
                    self.kept.push(parcel.clone());
                }
            }
            Err(refused) => assert_eq!(refused, BarrierError::Full(20)),
        }
    }

    fn merge(&mut self, payloads: Vec<Vec<u8>>) {
        for bytes in payloads {
            let delta = Deep::decode(&bytes, &Limits::default()).unwrap();
            // What the barrier is for: nothing is merged before what it was written on the strength of.
            self.state.merge(delta);
            assert!(self.state.context().is_contiguous());
        }
    }
}

#[test]
fn deltas_shipped_through_barriers_over_a_lossy_network_arrive_in_causal_order_and_all_agree() -> Result<(), Overflow> {
    for seed in 0..30 {
        let mut dice = Dice(seed);
        let mut replicas = [1, 2, 3].map(Replica::new);
        let mut network: Vec<(usize, Parcel<Vec<u8>>)> = Vec::new();
        let mut held_back = 0;
        for _ in 0..300 {
            let at = dice.pick(3);
            match dice.roll(4) {
                0 => {
                    replicas[at].change(&mut dice)?;
                    if let Some(parcel) = replicas[at].kept.last().filter(|p| p.dot.replica == replicas[at].id) {
                        network.extend((0..3).filter(|to| *to != at).map(|to| (to, parcel.clone())));
                    }
                }
                1 if !network.is_empty() => drop(network.swap_remove(dice.pick(network.len()))),
                _ if !network.is_empty() => {
                    // It may arrive again: it stays under way.
                    let (to, parcel) = network[dice.pick(network.len())].clone();
                    replicas[to].receive(&parcel);
                    held_back += replicas[to].barrier.held();
                }
                _ => {}
            }
        }
        assert!(held_back > 0, "the network reordered nothing");
        // What is missing is asked for, and of everybody the last parcels, which nobody can know to be missing.
        for round in 0.. {
            let all: Vec<_> = replicas.iter().flat_map(|replica| replica.kept.clone()).collect();
            for replica in &mut replicas {
                let missing = replica.barrier.missing();
                all.iter().filter(|p| missing.contains(&p.dot)).for_each(|parcel| replica.receive(parcel));
                all.iter().for_each(|parcel| replica.receive(parcel));
            }
            if replicas.iter().all(|replica| replica.barrier.delivered() == replicas[0].barrier.delivered()) {
                break;
            }
            assert!(round < 50, "the barriers are stuck");
        }
        let states: Vec<_> = replicas.iter().map(|replica| &replica.state).collect();
        assert!(states[0] == states[1] && states[1] == states[2]);
        assert!(replicas.iter().all(|replica| replica.barrier.held() == 0 && replica.barrier.missing().is_empty()));
    }
    Ok(())
}

#[test]
fn a_newcomer_goes_on_from_a_state_without_the_parcels_before_it() -> Result<(), Overflow> {
    let mut dice = Dice(7);
    let [mut a, mut b, mut late] = [1, 2, 3].map(Replica::new);
    for _ in 0..40 {
        let parcel = a.send(&mut dice)?;
        b.receive(&parcel);
    }
    // The state is read here; the next two parcels arrive before it, the second of them first.
    let (state, delivered) = (b.state.clone(), b.barrier.delivered().clone());
    let (first, second) = (b.send(&mut dice)?, b.send(&mut dice)?);
    late.receive(&second);
    late.receive(&first);
    assert_eq!(late.barrier.held(), 2);

    late.state.merge(state);
    let released = late.barrier.catch_up(&delivered);
    assert_eq!(released.len(), 2);
    late.merge(released);
    assert_eq!(late.state, b.state);

    // What the newcomer sends now comes after all that the state held, also for somebody who has none of it.
    let parcel = late.send(&mut dice)?;
    let mut nobody = Replica::new(4);
    nobody.receive(&parcel);
    assert_eq!(nobody.barrier.held(), 1);
    assert!(nobody.barrier.missing().contains(&second.dot));
    // A second time it changes nothing.
    assert!(late.barrier.catch_up(&delivered).is_empty());
    Ok(())
}

/// Half of the pieces are lost. The difference that is asked for next makes good what they would have done.
#[test]
fn lost_pieces_are_made_good_by_the_next_difference() -> Result<(), Overflow> {
    for seed in 0..200 {
        let mut dice = Dice(seed);
        let [mut a, mut b] = [1, 2].map(Replica::new);
        for _ in 0..30 {
            a.change(&mut dice)?;
            if dice.roll(3) == 0 {
                b.change(&mut dice)?;
            }
            let (from, to) = if dice.roll(2) == 0 { (&a, &mut b) } else { (&b, &mut a) };
            for piece in from.state.since(to.state.context().version_vector()).split(60).unwrap() {
                if dice.roll(2) == 0 {
                    to.state.merge(piece);
                }
            }
        }
        for _ in 0..2 {
            b.state.merge(a.state.since(b.state.context().version_vector()));
            a.state.merge(b.state.since(a.state.context().version_vector()));
        }
        assert_eq!(a.state, b.state, "seed {seed}");
    }
    Ok(())
}

#[test]
fn two_changes_in_one_closure_travel_in_one_delta() {
    type Users = Causal<OrMap<u8, OrMap<&'static str, MvRegister<u8>>>>;
    let a = ReplicaId::new(1);
    let write = |value: u8| move |register: &mut MvRegister<u8>, m: &mut Mutation<'_>| register.write(m, value);
    let mut here = Users::new();
    let before = here.update(a, 1, |user, m| user.update(m, "old", write(1)));
    let change = here.update(a, 1, |user, m| {
        let first = user.update(m, "name", write(2));
        let second = m.and(first, |m| user.update(m, "town", write(3)));
        let third = m.and(second, |m| user.remove(m, "old"));
        // Over the first, in the same closure.
        m.and(third, |m| user.update(m, "name", write(4)))
    });
    for deltas in [[before.clone(), change.clone()], [change, before]] {
        let mut there = Users::new();
        deltas.into_iter().for_each(|delta| there.merge(delta));
        assert_eq!(here, there);
        let user = there.get(&1).unwrap();
        assert_eq!((user.len(), user.get("name").and_then(MvRegister::get)), (2, Some(&4)));
    }
}

#[test]
fn two_changes_of_different_kinds_in_one_closure_are_as_the_two_one_by_one() -> Result<(), Overflow> {
    type Marks = OrMap<u8, RwSet<u8>>;
    let (a, b) = (ReplicaId::new(1), ReplicaId::new(2));
    let mut start: Causal<Marks> = Causal::new();
    for n in 0..20 {
        let _sent = start.insert(b, n % 3, n);
    }
    let mut here = start.clone();
    let delta = here.mutate(a, |map, m| {
        let removed = map.remove(m, &0);
        let marked = m.and(removed, |m| map.update(m, 1, |set, m| set.remove(m, 1)));
        m.and(marked, |m| map.update(m, 0, |set, m| set.add(m, 99)))
    });
    let mut there = start;
    there.merge(delta.clone());
    there.merge(delta);
    assert_eq!(here, there);
    assert!(there.contains(&0, &99) && !there.contains(&1, &1) && !there.contains(&0, &3));
    Ok(())
}

#[test]
fn a_context_travels_and_comes_back_in_its_form() {
    let (a, b) = (ReplicaId::new(1), ReplicaId::new(2));
    let mut set: Causal<AwSet<u8>> = Causal::new();
    let deltas: Vec<_> = (0..6).map(|n| set.add(if n % 2 == 0 { a } else { b }, n)).collect();
    let mut gaps: Causal<AwSet<u8>> = Causal::new();
    for (n, delta) in deltas.into_iter().enumerate() {
        if n != 2 {
            gaps.merge(delta);
        }
    }
    assert!(!gaps.context().is_contiguous());
    for context in [set.context(), gaps.context(), &CausalContext::new()] {
        let bytes = postcard::to_allocvec(context).unwrap();
        assert_eq!(&postcard::from_bytes::<CausalContext>(&bytes).unwrap(), context);
    }
    let too_far = (Vec::<(ReplicaId, u64)>::new(), vec![(a, 5_u64, u64::MAX)]);
    assert!(postcard::from_bytes::<CausalContext>(&postcard::to_allocvec(&too_far).unwrap()).is_err());
    // In no order, overlapping, empty, next to the prefix.
    let odd = (vec![(a, 2_u64)], vec![(b, 9_u64, 3_u64), (a, 6, 8), (a, 3, 4), (a, 4, 7), (b, 0, 0)]);
    let odd = postcard::from_bytes::<CausalContext>(&postcard::to_allocvec(&odd).unwrap()).unwrap();
    assert!(odd.is_contiguous() && odd.last(a) == 8 && odd.last(b) == 0);
}

#[test]
fn a_register_that_sees_a_stamp_ahead_of_its_clock_is_written_to_after_observing_it() {
    let (a, b) = (ReplicaId::new(1), ReplicaId::new(2));
    let (mut early, mut fast) = (HybridClock::new(1_000), HybridClock::new(1_000));
    let mut name: Causal<LwwRegister<&str>> = Causal::new();
    let written = name.write(a, fast.tick(5_500).unwrap(), "fast").unwrap();
    let mut other: Causal<LwwRegister<&str>> = Causal::new();
    other.merge(written);
    assert!(other.write(b, early.tick(5_000).unwrap(), "slow").is_err());
    early.observe(*other.stamp().unwrap(), 5_000).unwrap();
    name.merge(other.write(b, early.tick(5_000).unwrap(), "slow").unwrap());
    assert_eq!(name.get(), Some(&"slow"));
}
