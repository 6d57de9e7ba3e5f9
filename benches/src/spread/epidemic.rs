//! The textbook alternative to a tree, without an engine: whoever hears of a change for the first time tells so many
//! others chosen at random.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use cahoots_tests::sim::Random;

use super::{Network, Place};

/// Of one change: the time until each that heard of it did, and how many sends it took.
#[must_use]
pub fn epidemic(random: &mut Random, hosts: usize, network: Network, fanout: usize) -> (Vec<u64>, u64) {
    let places: Vec<Place> = (0..hosts).map(|host| network.place(host)).collect();
    let mut heard = vec![None; hosts];
    let mut agenda = BinaryHeap::from([Reverse((0, random.index(hosts)))]);
    let mut sends = 0;
    while let Some(Reverse((at, host))) = agenda.pop() {
        if heard[host].is_some() {
            continue;
        }
        heard[host] = Some(at);
        for _ in 0..fanout {
            let to = (host + 1 + random.index(hosts - 1)) % hosts;
            sends += 1;
            agenda.push(Reverse((at + network.delay(&places[host], &places[to], random), to)));
        }
    }
    (heard.into_iter().flatten().collect(), sends)
}
