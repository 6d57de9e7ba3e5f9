//! How many guards of this node hold which presence.
//!
//! The guards are the truth and the ballot in the store follows: a ballot that could not be written at once, or that a
//! deletion of the key has taken along, is put right by [`Shared::tend`].

use std::collections::BTreeMap;

use super::engine_lock::{Core, Shared};
use crate::engine::{Now, Replica};
use crate::store::{Class, WriteError};

/// Guards held, by key. A key without guards stays until its ballot is withdrawn.
pub(super) type Guards = BTreeMap<Box<[u8]>, u32>;

impl Shared {
    /// One guard more.
    pub(super) fn enter_presence(&self, key: &[u8]) -> Result<(), WriteError> {
        self.drive_core(|core, now| {
            let count = core.guards.get(key).copied().unwrap_or(0) + 1;
            show(&mut core.replica, now, key, count)?;
            core.guards.insert(key.into(), count);
            Ok(())
        })
    }

    /// One guard less.
    pub(super) fn leave_presence(&self, key: &[u8]) {
        self.drive_core(|core, now| {
            if let Some(count) = core.guards.get_mut(key) {
                *count = count.saturating_sub(1);
                let count = *count;
                settle(core, now, key, count);
            }
        });
    }

    /// What wants looking after now and then: ballots that do not say what the guards say, and ballots of the dead.
    pub(super) fn tend(&self) {
        self.drive_core(|core, now| {
            core.settle_guards(now);
            for discarded in core.replica.discard_departed(now) {
                let key = String::from_utf8_lossy(&discarded.key);
                tracing::debug!(%key, owner = %discarded.owner, "discarded a ballot of a replica that is gone");
            }
        });
    }
}

impl Core {
    /// Puts ballots right that do not say what the guards say.
    pub(super) fn settle_guards(&mut self, now: Now) {
        let guards: Vec<(Box<[u8]>, u32)> = self.guards.iter().map(|(key, count)| (key.clone(), *count)).collect();
        for (key, count) in guards {
            let shown = self.replica.store().own_ballot(&key, Class::Presence).and_then(crate::store::present);
            if shown.unwrap_or(0) != count {
                settle(self, now, &key, count);
            }
        }
    }
}

/// Makes the ballot say `count`, and forgets a key whose last guard is gone.
fn settle(core: &mut Core, now: Now, key: &[u8], count: u32) {
    // Refused while the clock is wrong: tried again later.
    if show(&mut core.replica, now, key, count).is_ok() && count == 0 {
        core.guards.remove(key);
    }
}

fn show(replica: &mut Replica, now: Now, key: &[u8], count: u32) -> Result<(), WriteError> {
    replica.write(now, key.len() + 10, |writer| match count {
        0 => writer.withdraw(key, Class::Presence).map(drop),
        _ => writer.cast(key, Class::Presence, count.to_string().as_bytes()),
    })
}
