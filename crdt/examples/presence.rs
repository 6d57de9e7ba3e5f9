//! Who is in the room: a multimap of rooms and people, where a server that dies takes its people with it.
//!
//! `cargo run -p cahoots-crdt --example presence`

use cahoots_crdt::{AwSet, Causal, Lattice, OrMap, ReplicaId};

/// Server -> room -> people. Each server writes only under its own key.
type Presence = Causal<OrMap<&'static str, OrMap<&'static str, AwSet<&'static str>>>>;

fn enter(state: &mut Presence, by: ReplicaId, server: &'static str, room: &'static str, who: &'static str) -> Presence {
    state.update(by, server, |rooms, mutation| rooms.update(mutation, room, |people, m| people.add(m, who)))
}

fn people(state: &Presence, room: &str) -> Vec<&'static str> {
    let mut people: Vec<_> =
        state.values().filter_map(|rooms| rooms.get(room)).flat_map(AwSet::iter).copied().collect();
    people.sort_unstable();
    people
}

fn main() {
    let (east, west) = (ReplicaId::new(1), ReplicaId::new(2));
    let (mut at_east, mut at_west) = (Presence::new(), Presence::new());
    at_west.merge(enter(&mut at_east, east, "east", "lobby", "ada"));
    at_west.merge(enter(&mut at_east, east, "east", "garden", "bob"));
    at_east.merge(enter(&mut at_west, west, "west", "lobby", "cleo"));
    assert_eq!(people(&at_west, "lobby"), ["ada", "cleo"]);

    // East stops answering. West removes what it has seen of it ...
    let gone = at_west.remove(west, "east");
    assert_eq!(people(&at_west, "lobby"), ["cleo"]);
    // ... but east was only slow, and somebody came in meanwhile: that was not seen, so it stays.
    let late = enter(&mut at_east, east, "east", "lobby", "dan");
    at_west.merge(late);
    at_east.merge(gone);
    assert_eq!(at_east, at_west);
    assert_eq!(people(&at_east, "lobby"), ["cleo", "dan"]);
    println!("in the lobby: {:?}", people(&at_east, "lobby"));
}

#[test]
fn who_came_in_unseen_is_not_thrown_out() {
    main();
}
