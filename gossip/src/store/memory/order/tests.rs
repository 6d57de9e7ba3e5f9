use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Bytes that have no pattern.
fn scattered(number: u64) -> [u8; 8] {
    (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29).wrapping_mul(0xBF58_476D_1CE4_E5B9).to_be_bytes()
}

/// Every branch counts what is under it, and separates its children.
fn check(node: &Node, depth: usize) -> usize {
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
                assert!(last.unwrap().0 < &*pair[1].from && &*pair[1].from <= first.unwrap().0);
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
        let (mut order, mut known) = (Order::default(), BTreeMap::new());
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
    let mut order = Order::default();
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
    assert_eq!((order.len(), order.memory()), (0, size_of::<Order>()));

    for rising in [true, false] {
        let mut order = Order::default();
        for number in 0..100_000_u64 {
            let at = if rising { number } else { u64::MAX - number };
            order.insert(&key(at.to_be_bytes(), number), b"");
        }
        check(&order.root, 0);
        let fill = packed(order.len()) * 100 / order.memory();
        assert!(fill >= 85, "at one end {fill} %");
    }
}
