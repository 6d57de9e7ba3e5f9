//! A stock of ten concert tickets sold by two shops that cannot reach each other: never more than ten.
//!
//! `cargo run -p cahoots-crdt --example inventory`

use cahoots_crdt::{BoundedCounter, BoundedError, Causal, Lattice, ReplicaId};

fn main() -> Result<(), BoundedError> {
    let (north, south) = (ReplicaId::new(1), ReplicaId::new(2));
    let mut in_north: Causal<BoundedCounter> = Causal::new();
    in_north.increment(north, 10).map(drop)?;
    in_north.transfer(north, south, 4).map(drop)?;
    let mut in_south = in_north.clone();

    // The line between the shops is cut. Both sell on, each from its own share.
    let mut sold = 0;
    let mut to_send = Vec::new();
    for _ in 0..10 {
        match in_south.decrement(south, 1) {
            Ok(delta) => {
                sold += 1;
                to_send.push(delta);
            }
            Err(BoundedError::NoRights { .. }) => println!("south: sold out here, ask north for some of theirs"),
            Err(other) => return Err(other),
        }
    }
    for _ in 0..5 {
        in_north.decrement(north, 1).map(drop)?;
        sold += 1;
    }

    to_send.into_iter().for_each(|delta| in_north.merge(delta));
    assert_eq!((sold, in_north.value()?, in_north.rights(north)?), (9, 1, 1));
    println!("{sold} sold, {} left, north may sell it", in_north.value()?);
    Ok(())
}

#[test]
fn two_shops_apart_never_sell_more_than_there_is() -> Result<(), BoundedError> {
    main()
}
