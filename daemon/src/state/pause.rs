//! `CLIENT PAUSE`: clients that are held for a while, in the order in which they came.
//!
//! Who is held keeps its place until the pause is over, and all go on in that order then. What peers send is applied
//! meanwhile: a pause is one of clients.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};

/// What clients are held at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holds {
    /// Commands that may write.
    #[default]
    Writes,
    /// All commands.
    All,
}

/// Whether clients are held.
#[derive(Debug, Default)]
pub struct Pause {
    /// Whether there is a pause that nobody has ended yet: asked before each command.
    on: AtomicBool,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    holds: Holds,
    end: Option<Instant>,
    held: VecDeque<oneshot::Sender<()>>,
}

impl State {
    fn is_over(&self, now: Instant) -> bool {
        self.end.is_none_or(|end| end <= now)
    }
}

impl Pause {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there may be a pause.
    #[inline]
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.on.load(Relaxed)
    }

    /// What is held now, and for how long still.
    #[must_use]
    pub fn now(&self) -> Option<(Holds, Duration)> {
        let (state, now) = (self.state(), Instant::now());
        let left = state.end.map(|end| end.saturating_duration_since(now)).filter(|left| !left.is_zero());
        left.map(|left| (state.holds, left))
    }

    /// Holds clients from now on. A pause that lasts longer, or holds more, goes on as it is. Says whether there is such a time.
    pub fn begin(&self, holds: Holds, lasts: Duration) -> bool {
        let now = Instant::now();
        let Some(end) = now.checked_add(lasts) else { return false };
        let mut state = self.state();
        state.holds = if state.is_over(now) { holds } else { holds.max(state.holds) };
        state.end = state.end.max(Some(end));
        self.on.store(!state.is_over(now), Relaxed);
        self.changed.notify_one();
        true
    }

    /// A place among those who are held.
    pub fn hold(&self) -> oneshot::Receiver<()> {
        let (goes_on, held) = oneshot::channel();
        self.state().held.push_back(goes_on);
        held
    }

    /// Ends it. Who was held goes on.
    pub fn end(&self) {
        let mut state = self.state();
        state.end = None;
        self.on.store(false, Relaxed);
        // Who has gone meanwhile needs no telling.
        state.held.drain(..).for_each(|held| _ = held.send(()));
    }

    /// Waits until the time of a pause is over that nobody has ended.
    pub async fn over(&self) {
        loop {
            let end = self.state().end;
            let Some(end) = end else {
                self.changed.notified().await;
                continue;
            };
            tokio::select! {
                () = self.changed.notified() => {}
                () = tokio::time::sleep_until(end.into()) => return,
            }
        }
    }

    /// Whether its time is over, if there is one.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.state().is_over(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(1_000);

    #[test]
    fn of_two_pauses_what_holds_more_and_lasts_longer_is_in_force() {
        let pause = Pause::default();
        assert!(!pause.is_on() && pause.now().is_none());
        assert!(pause.begin(Holds::All, LONG) && pause.begin(Holds::Writes, Duration::from_millis(1)));
        let (holds, left) = pause.now().expect("it is on");
        assert!(pause.is_on() && holds == Holds::All && left > LONG / 2);
        pause.end();
        assert!(!pause.is_on() && pause.now().is_none());
        assert!(pause.begin(Holds::Writes, LONG));
        assert_eq!(pause.now().map(|(holds, _)| holds), Some(Holds::Writes), "what was ended is forgotten");
        assert!(!pause.begin(Holds::All, Duration::MAX), "there is no such time");
    }

    #[test]
    fn a_pause_of_no_time_holds_nobody() {
        let pause = Pause::default();
        assert!(pause.begin(Holds::All, Duration::ZERO));
        assert!(!pause.is_on() && pause.is_over() && pause.now().is_none());
    }

    #[test]
    fn who_is_held_goes_on_when_it_is_over() {
        let pause = Pause::default();
        pause.begin(Holds::All, LONG);
        let mut held = [pause.hold(), pause.hold()];
        assert!(held.iter_mut().all(|held| held.try_recv().is_err()));
        pause.end();
        assert!(held.iter_mut().all(|held| held.try_recv().is_ok()));
    }
}
