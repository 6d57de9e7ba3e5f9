//! Settings, section by section, changed on two devices; the last writer wins, by a hybrid logical clock.
//!
//! `cargo run -p cahoots-crdt --example nested_settings`

use std::error::Error;

use cahoots_crdt::{Causal, Delta, HybridClock, Lattice, Limits, LwwRegister, OrMap, ReplicaId};

type Settings = Causal<OrMap<String, OrMap<String, LwwRegister<String>>>>;

struct Device {
    id: ReplicaId,
    clock: HybridClock,
    settings: Settings,
}

impl Device {
    fn new(id: u64) -> Self {
        Self { id: ReplicaId::new(id), clock: HybridClock::new(60_000), settings: Settings::new() }
    }

    fn set(&mut self, wall_millis: u64, section: &str, name: &str, value: &str) -> Result<Settings, Box<dyn Error>> {
        // A write must come after the one it sees, also when that one's clock was ahead of ours.
        if let Some(seen) = self.settings.get(section).and_then(|section| section.get(name)?.stamp()) {
            self.clock.observe(*seen, wall_millis)?;
        }
        let stamp = self.clock.tick(wall_millis)?;
        let delta = self.settings.try_update(self.id, section.into(), |section, mutation| {
            section.try_update(mutation, name.into(), |setting, m| setting.write(m, stamp, value.into()))
        })?;
        Ok(delta)
    }

    fn get(&self, section: &str, name: &str) -> Option<&str> {
        self.settings.get(section)?.get(name)?.get().map(String::as_str)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let (mut desk, mut lap) = (Device::new(1), Device::new(2));
    let now = 1_763_000_000_000;
    desk.set(now, "editor", "font", "serif").map(drop)?;
    desk.set(now, "editor", "tabs", "4").map(drop)?;

    // The laptop starts empty: it asks for all it lacks and gets it as bytes, in pieces that fit a datagram.
    for piece in desk.settings.since(lap.settings.context().version_vector()).split(100)? {
        let bytes = piece.encode()?;
        lap.settings.merge(Causal::decode(&bytes, &Limits::default())?);
    }
    assert_eq!(lap.get("editor", "tabs"), Some("4"));

    // Both change things: one the same setting, by a clock that is behind; one throws the whole section away.
    let later = lap.set(now - 500, "editor", "font", "mono")?;
    let reset = desk.settings.remove(desk.id, "editor");
    desk.settings.merge(later);
    lap.settings.merge(reset);

    assert_eq!(desk.settings, lap.settings);
    assert_eq!((desk.get("editor", "font"), desk.get("editor", "tabs")), (Some("mono"), None));
    println!("{:?}", desk.settings.store());
    Ok(())
}

#[test]
fn a_later_setting_survives_the_reset_of_its_section() -> Result<(), Box<dyn Error>> {
    main()
}
