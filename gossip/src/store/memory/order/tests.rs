use std::collections::BTreeMap;

use proptest::prelude::*;

use cahoots_crdt::{Dot, DotFun, ReplicaId};

use super::*;
use crate::Hlc;
use crate::store::cell::{Element, Register};
use crate::store::kind::Class;
use crate::store::memory::packed::pack_one;

/// Bytes that have no pattern.
fn scattered(number: u64) -> [u8; 8] {
    (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29).wrapping_mul(0xBF58_476D_1CE4_E5B9).to_be_bytes()
}

/// Every branch counts what is under it, and separates its children.
fn check<L: Leaf>(node: &Node<L>, depth: usize) -> usize {
    match node {
        Node::Leaf(_) => depth,
        Node::Branch(branch) => {
            assert!(branch.children.len() <= CHILDREN_MAX);
            assert_eq!(branch.len, branch.children.iter().map(|child| child.node.len()).sum::<usize>());
            let depths: Vec<usize> = branch.children.iter().map(|child| check(&child.node, depth + 1)).collect();
            assert!(
                depths.windows(2).all(|pair| pair[0] == pair[1]) && branch.children.iter().all(|it| it.node.len() > 0)
            );
            for pair in branch.children.windows(2) {
                let (left, right) = (&pair[0].node, &pair[1].node);
                let (last, first) = (Walk::new(left, 0..usize::MAX).next_back(), Walk::new(right, 0..1).next());
                assert!(
                    last.unwrap().0.as_ref() < pair[1].from.key() && pair[1].from.key() <= first.unwrap().0.as_ref()
                );
            }
            depths[0]
        }
    }
}

fn key(number: u16, len: usize) -> Vec<u8> {
    let mut key = scattered(number.into()).to_vec();
    key.resize(8 + len, 7);
    key
}

proptest! {
    #[test]
    fn an_order_holds_what_a_tree_map_holds_and_knows_every_rank(
        steps in prop::collection::vec((0..3_u8, 0..600_u16, prop_oneof![9 => 0..60_usize, 1 => 0..3_000_usize]), 0..1500),
        asked in 0..600_u16,
    ) {
        let (mut order, mut known) = (Order::<Plain>::default(), BTreeMap::new());
        for (kind, number, len) in steps {
            let key = key(number, usize::from(number % 40));
            if kind == 0 {
                prop_assert_eq!(order.remove(&key), known.remove(&key).is_some());
            } else {
                let content = vec![kind; len];
                prop_assert_eq!(order.insert(&key, &content), known.insert(key, content).is_none());
            }
        }
        check(&order.root, 0);
        prop_assert_eq!(order.len(), known.len());
        let all: Vec<(&[u8], &[u8])> = known.iter().map(|(key, content)| (&key[..], &content[..])).collect();
        prop_assert_eq!(order.range(0..usize::MAX).collect::<Vec<_>>(), &all[..]);
        let mut backwards: Vec<_> = order.range(0..usize::MAX).rev().collect();
        backwards.reverse();
        prop_assert_eq!(backwards, &all[..]);
        for (rank, (key, content)) in all.iter().enumerate() {
            prop_assert_eq!(order.rank_from(key), rank);
            prop_assert_eq!(order.get(key), Some(*content));
            prop_assert_eq!(order.range(rank..rank + 1).next(), Some((*key, *content)));
        }
        let asked = key(asked, 3);
        prop_assert_eq!(order.rank_from(&asked), known.range(..asked.clone()).count());
        prop_assert_eq!(order.get(&asked).is_some(), known.contains_key(&asked));
        let (from, to) = (all.len() / 3, all.len() / 2);
        let mut both = order.range(from..to);
        let (front, back) = (both.next(), both.next_back());
        prop_assert_eq!(front, (from < to).then(|| all[from]));
        prop_assert_eq!(back, (from + 1 < to).then(|| all[to - 1]));
    }
}

/// Entries of 8 and 18 bytes, as of a sorted set.
#[test]
fn an_order_takes_little_more_than_its_entries() {
    let packed = |len: usize| len * (2 + 26);
    let key = |first: [u8; 8], number: u64| [&first[..], format!("member:{number:011}").as_bytes()].concat();
    let mut order = Order::<Plain>::default();
    for number in 0..100_000 {
        assert!(order.insert(&key(scattered(number), number), b""));
    }
    let fill = packed(order.len()) * 100 / order.memory();
    assert!(fill >= 75, "in no order {fill} %");
    for number in (0..100_000).filter(|number| number % 8 > 0) {
        assert!(order.remove(&key(scattered(number), number)));
    }
    check(&order.root, 0);
    let fill = packed(order.len()) * 100 / order.memory();
    assert!(fill >= 60, "after removals {fill} %");
    for number in (0..100_000).filter(|number| number % 8 == 0) {
        assert!(order.remove(&key(scattered(number), number)));
    }
    assert_eq!((order.len(), order.memory()), (0, size_of::<Order<Plain>>()));

    for rising in [true, false] {
        let mut order = Order::<Plain>::default();
        for number in 0..100_000_u64 {
            let at = if rising { number } else { u64::MAX - number };
            order.insert(&key(at.to_be_bytes(), number), b"");
        }
        check(&order.root, 0);
        let fill = packed(order.len()) * 100 / order.memory();
        assert!(fill >= 85, "at one end {fill} %");
    }
}

/// A name as positions in a list have them: few bytes of it are new beside the one before, or many.
fn name(number: u16) -> Vec<u8> {
    let mut name = vec![u8::from(number.is_multiple_of(7))];
    name.extend_from_slice(&(1_700_000_000_000_u64 << 16 | u64::from(number) << (number % 3 * 5)).to_be_bytes());
    name.extend_from_slice(&u64::from(number % 4).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
    name.extend_from_slice(&number.to_be_bytes());
    name.resize(name.len() + usize::from(number % 5) * 9, 3);
    name
}

/// An element with one cell, or several, of replicas that take turns.
fn element(number: u16, value: &[u8]) -> Element<'_> {
    let mut element = Element::default();
    for replica in 0..=u64::from(number % 6 / 5) {
        let dot = Dot::new(ReplicaId::new(replica + u64::from(number % 3)), 1 + u64::from(number));
        element.value.insert(dot, Register { clock: Hlc::new(1 << 60 | u64::from(number) << 7), value });
    }
    element
}

proptest! {
    #[test]
    fn elements_told_by_what_is_new_about_them_are_read_as_they_were(
        steps in prop::collection::vec((0..4_u8, 0..500_u16, prop_oneof![9 => 0..40_usize, 1 => 0..3_000_usize]), 0..1200),
    ) {
        let (mut order, mut known) = (Order::<Coded>::default(), BTreeMap::new());
        for (kind, number, len) in steps {
            let name = name(number);
            if kind == 0 {
                prop_assert_eq!(order.remove(&name), known.remove(&name).is_some());
            } else {
                let value = vec![kind; len];
                let mut packed = Vec::new();
                pack_one(Class::List, &element(number, &value), &mut packed);
                prop_assert_eq!(order.insert(&name, &packed), known.insert(name, (number, value)).is_none());
            }
        }
        check(&order.root, 0);
        prop_assert_eq!(order.len(), known.len());
        let all: Vec<(&[u8], Element<'_>)> =
            known.iter().map(|(name, (number, value))| (&name[..], element(*number, value))).collect();
        let read: Vec<_> = order.range(0..usize::MAX).collect();
        prop_assert_eq!(read.iter().map(|(name, element)| (&name[..], element.clone())).collect::<Vec<_>>(), all.clone());
        let mut backwards: Vec<_> = order.range(0..usize::MAX).rev().collect();
        backwards.reverse();
        prop_assert_eq!(&backwards, &read);
        for (rank, (name, element)) in all.iter().enumerate() {
            prop_assert_eq!((order.rank_from(name), order.get(name)), (rank, Some(element.clone())));
        }
        let absent = name(501);
        prop_assert_eq!((order.rank_from(&absent), order.get(&absent)), (known.range(absent.clone()..).next().map_or(known.len(), |(next, _)| order.rank_from(next)), None));
    }
}

/// What a list costs whose elements one replica pushes, each on its own: beside the 16 bytes of an element, two for what
/// its name has in common with the one before, three for the rest of the name, and six for the cell.
#[test]
fn elements_pushed_one_after_the_other_cost_what_is_new_about_them() {
    for front in [false, true] {
        let mut order = Order::<Coded>::default();
        for number in 0..100_000_u64 {
            let clock = ((1_700_000_000_000 + number / 10) << 16) | (number % 10);
            let shown = if front { !clock } else { clock };
            let name = [&[1][..], &shown.to_be_bytes(), &[7; 8], &[0, 1]].concat();
            let register = Register { clock: Hlc::new(clock), value: &[9; 16] };
            let value = DotFun::of(Dot::new(ReplicaId::new(u64::MAX), 70_000 + number / 10), register);
            let mut packed = Vec::new();
            pack_one(Class::List, &Element { value, ..Element::default() }, &mut packed);
            order.insert(&name, &packed);
        }
        check(&order.root, 0);
        let each = order.memory() / order.len();
        assert!(each <= 33, "{each} bytes");
    }
}
