use alloc::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Checks what the head of `tree.rs` says of nodes; returns the depth of the leaves.
fn check(node: &Node<u32, u32>, is_root: bool, low: Option<u32>, high: Option<u32>) -> usize {
    if is_root {
        check_sizes(node, is_root);
    }
    let within = |key: u32| low.is_none_or(|low| low <= key) && high.is_none_or(|high| key < high);
    match node {
        Node::Leaf(entries) => {
            assert!(entries.is_sorted_by(|a, b| a.0 < b.0) && entries.iter().all(|(key, _)| within(*key)));
            0
        }
        Node::Inner(children) => {
            let depths = children.iter().enumerate().map(|(at, child)| {
                assert!(at == 0 || within(child.first));
                let mut below = Vec::new();
                child.node.clone().drain_to(&mut below);
                assert_eq!(child.len, below.len());
                let low = if at == 0 { low } else { Some(child.first) };
                check(&child.node, false, low, children.get(at + 1).map(|next| next.first).or(high))
            });
            let depths: Vec<_> = depths.collect();
            assert!(depths.iter().all(|depth| *depth == depths[0]));
            depths[0] + 1
        }
    }
}

/// Checks that nodes hold what they may, have no room for more, and that no two neighbours should be one.
fn check_sizes(node: &Node<u32, u32>, is_root: bool) {
    assert!((is_root || node.size() > 0) && node.size() <= NODE_MAX);
    let room = match node {
        Node::Leaf(entries) => entries.capacity(),
        Node::Inner(children) => children.capacity(),
    };
    assert!(room <= NODE_SLOTS, "room for {room} entries");
    if let Node::Inner(children) = node {
        for pair in children.windows(2) {
            let sizes = [pair[0].node.size(), pair[1].node.size()];
            assert!(
                sizes.iter().all(|size| *size >= NODE_FEW) || sizes[0] + sizes[1] > NODE_JOINED,
                "{sizes:?} entries"
            );
        }
        children.iter().for_each(|child| check_sizes(&child.node, false));
    }
}

/// Grows to three levels and shrinks again, by single keys and by runs of neighbours, several times.
#[test]
fn it_is_a_sorted_table_that_knows_ranks_through_growing_and_shrinking() {
    let (mut tree, mut model) = (Tree::new(), BTreeMap::new());
    let mut dice = 1_u32;
    let mut roll = |sides: u32| {
        dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (dice >> 8) % sides
    };
    let mut depth = 0;
    for round in 0..60_u32 {
        let grows = round % 12 < 5;
        for _ in 0..600 {
            let (key, value) = (roll(40_000), roll(1_000));
            if grows {
                assert_eq!(tree.insert(key, value), model.insert(key, value));
            } else {
                let run: Vec<u32> = model.range(key..).map(|(key, _)| *key).take(roll(9) as usize).collect();
                for key in run {
                    assert_eq!(tree.remove(&key).map(|entry| entry.1), model.remove(&key));
                }
                if roll(3) == 0 {
                    assert_eq!(tree.insert(key, value), model.insert(key, value));
                }
            }
        }
        depth = depth.max(check(&tree.root, true, None, None));
        assert!(tree.len() == model.len() && tree.iter().eq(model.iter()));
        assert!(tree.iter().rev().eq(model.iter().rev()));
        for (rank, (key, value)) in model.iter().enumerate() {
            assert_eq!((tree.search(key), tree.nth(rank)), (Ok(rank), Some((key, value))));
            assert_eq!(tree.get_mut(key).copied(), Some(*value));
        }
        let rebuilt = Tree::from_sorted(tree.clone().into_vec());
        check(&rebuilt.root, true, None, None);
        assert!(rebuilt.iter().eq(model.iter()));
    }
    assert!(depth >= 2);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Adds keys one after another, upwards, or downwards, from one place.
    Ascending(u32, u32),
    Descending(u32, u32),
    /// Adds keys that are anywhere.
    Scattered(u32, u32),
    /// Removes entries that follow each other, or that are anywhere.
    Run(u32, u32),
    Sparse(u32, u32),
    /// Rebuilds the tree of one in so many entries.
    Thin(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (any::<u32>(), 1..80_u32).prop_map(|(from, count)| Step::Ascending(from, count)),
        (any::<u32>(), 1..80_u32).prop_map(|(from, count)| Step::Descending(from, count)),
        (any::<u32>(), 1..400_u32).prop_map(|(seed, count)| Step::Scattered(seed, count)),
        (any::<u32>(), 1..300_u32).prop_map(|(from, count)| Step::Run(from, count)),
        (any::<u32>(), 1..300_u32).prop_map(|(seed, count)| Step::Sparse(seed, count)),
        (2..50_u32).prop_map(Step::Thin),
    ]
}

fn scattered(seed: u32, n: u32) -> u32 {
    (seed ^ n).wrapping_mul(0x9e37_79b1).rotate_left(11).wrapping_mul(0x85eb_ca6b)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A leaf that had been cut kept room for twice what it may hold, one made of a longer vector all of that, and what
    /// a cut had left alone stayed so beside a neighbour with room.
    #[test]
    fn nodes_keep_no_room_that_they_may_not_use_and_none_is_needlessly_small(
        steps in prop::collection::vec(step(), 1..30)
    ) {
        let mut tree = Tree::new();
        for step in steps {
            let insert = |tree: &mut Tree<u32, u32>, key| {
                tree.insert(key, 0);
                check_sizes(&tree.root, true);
            };
            let remove = |tree: &mut Tree<u32, u32>, place: u32| {
                let key = tree.nth(place as usize % tree.len().max(1)).map(|(key, _)| *key);
                assert_eq!(key.and_then(|key| tree.remove(&key)).is_some(), key.is_some());
                check_sizes(&tree.root, true);
            };
            match step {
                Step::Ascending(from, count) => (0..count).for_each(|n| insert(&mut tree, from.wrapping_add(n))),
                Step::Descending(from, count) => (0..count).for_each(|n| insert(&mut tree, from.wrapping_sub(n))),
                Step::Scattered(seed, count) => (0..count).for_each(|n| insert(&mut tree, scattered(seed, n))),
                Step::Run(from, count) => (0..count).for_each(|_| remove(&mut tree, from)),
                Step::Sparse(seed, count) => (0..count).for_each(|n| remove(&mut tree, scattered(seed, n))),
                Step::Thin(one_in) => {
                    let mut entries = tree.into_vec();
                    entries.retain(|(key, _)| key % one_in == 0);
                    tree = Tree::from_sorted(entries);
                }
            }
            check(&tree.root, true, None, None);
        }
    }
}
