//! A shopping cart that a phone and a laptop change while one of them is offline.
//!
//! `cargo run -p cahoots-crdt --example shopping_cart`

use cahoots_crdt::{Causal, Lattice, OrMap, Overflow, PnCounter, ReplicaId};

type Cart = Causal<OrMap<&'static str, PnCounter>>;

fn main() -> Result<(), Overflow> {
    let (phone, laptop) = (ReplicaId::new(1), ReplicaId::new(2));
    let mut on_phone = Cart::new();
    on_phone.add(phone, "apples", 4).map(drop)?;
    on_phone.add(phone, "bread", 1).map(drop)?;
    let mut on_laptop = on_phone.clone();

    // The phone loses its connection. On it, bread is taken out and two apples are put in.
    let offline = [on_phone.remove(phone, "bread"), on_phone.add(phone, "apples", 2)?];
    // Meanwhile the laptop takes out the apples it sees and adds a second loaf.
    let online = [on_laptop.remove(laptop, "apples"), on_laptop.add(laptop, "bread", 1)?];

    offline.into_iter().for_each(|delta| on_laptop.merge(delta));
    online.into_iter().for_each(|delta| on_phone.merge(delta));

    assert_eq!(on_phone, on_laptop);
    // Each removal took away what it had seen: four apples, one loaf. What was new is still in.
    assert_eq!((on_phone.value("apples")?, on_phone.value("bread")?), (2, 1));
    println!("in the cart: {on_phone:?}");
    Ok(())
}

#[test]
fn what_was_put_in_unseen_survives_what_was_taken_out() -> Result<(), Overflow> {
    main()
}
