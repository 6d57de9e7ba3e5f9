//! What a running script is held to: how long it may run, and which protocol it wants replies in.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mlua::debug::Debug;
use mlua::{HookTriggers, Lua, VmState};

use crate::resp::Protocol;

/// How long a script may run at most. It holds the replica, so peers hear nothing meanwhile: after twice as long they would
/// take it for dead.
pub const TIME_MAX: Duration = Duration::from_secs(4);
/// Instructions between two looks at the clock. One instruction may call a function that moves a whole table.
const LOOK_EVERY: u32 = 500;

/// Values between two looks at the clock, where Rust walks through a table of Lua's.
const LOOK_EVERY_VALUE: u32 = 1_000;

/// What the running script is held to.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    time_max: Mutex<Option<(Instant, Duration)>>,
    is_over: AtomicBool,
    /// Values that Rust has walked through.
    values: AtomicU32,
    /// The protocol in which it wants replies: 2 or 3.
    protocol: AtomicU8,
}

impl Bounds {
    /// A script begins.
    pub(super) fn begin(self: &Arc<Self>, lua: &Lua, time_max: Duration) -> mlua::Result<()> {
        *self.time_max.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), time_max));
        self.is_over.store(false, Relaxed);
        self.set_protocol(Protocol::Resp2);
        // For all coroutines: one inherits the hook of the one that makes it, and finds what it calls here.
        lua.set_global_hook(HookTriggers::new().every_nth_instruction(LOOK_EVERY), self.look())
    }

    /// It has ended.
    pub(super) fn end(lua: &Lua) {
        lua.remove_global_hook();
        lua.remove_hook();
    }

    pub(super) fn protocol(&self) -> Protocol {
        if self.protocol.load(Relaxed) == 3 { Protocol::Resp3 } else { Protocol::Resp2 }
    }

    pub(super) fn set_protocol(&self, protocol: Protocol) {
        self.protocol.store(if protocol == Protocol::Resp3 { 3 } else { 2 }, Relaxed);
    }

    /// How long the script was let run, if it has been ended.
    pub(super) fn was_over(&self) -> Option<Duration> {
        let (_, time_max) = (*self.time_max.lock().unwrap_or_else(PoisonError::into_inner))?;
        self.is_over.load(Relaxed).then_some(time_max)
    }

    fn is_late(&self) -> bool {
        let time_max = *self.time_max.lock().unwrap_or_else(PoisonError::into_inner);
        time_max.is_some_and(|(begun, time_max)| begun.elapsed() >= time_max)
    }

    /// Whether there is time for one value more. Tables may hold each other many times, so few can be walked through for
    /// ever.
    pub(super) fn has_time(&self) -> bool {
        if self.values.fetch_add(1, Relaxed).is_multiple_of(LOOK_EVERY_VALUE) && self.is_late() {
            self.is_over.store(true, Relaxed);
        }
        !self.is_over.load(Relaxed)
    }

    /// Has a script that is over, and has caught the error that says so, get it again at its next instruction. To be called
    /// in the coroutine that has caught it.
    pub(super) fn insist(self: &Arc<Self>, lua: &Lua) -> mlua::Result<()> {
        if self.is_over.load(Relaxed) {
            lua.set_global_hook(HookTriggers::new().every_nth_instruction(1), self.look())?;
        }
        Ok(())
    }

    /// Looks at the clock while a script runs.
    fn look(self: &Arc<Self>) -> impl Fn(&Lua, &Debug<'_>) -> mlua::Result<VmState> + use<> {
        let bounds = Arc::clone(self);
        move |lua, _| {
            if !bounds.is_over.load(Relaxed) && !bounds.is_late() {
                return Ok(VmState::Continue);
            }
            bounds.is_over.store(true, Relaxed);
            bounds.insist(lua)?;
            Err(mlua::Error::RuntimeError("the script is ended".to_owned()))
        }
    }
}
