//! One deadline, to the microsecond where the system can.
//!
//! The engine closes its flush window a few hundred microseconds after it opened, and tokio's timer wheel has
//! slots of a millisecond. On Linux the deadline is a `timerfd` instead, which any thread may move with one cheap
//! system call, without waking the task that waits for it.

#[cfg(not(target_os = "linux"))]
pub(super) use self::portable::Timer;
#[cfg(target_os = "linux")]
pub(super) use self::precise::Timer;

#[cfg(target_os = "linux")]
mod precise {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
    };
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    /// A one-shot timer. Arming replaces the earlier deadline.
    pub(in crate::driver) struct Timer(AsyncFd<OwnedFd>);

    impl Timer {
        /// # Errors
        /// When the process is out of file descriptors, or no tokio runtime with I/O is current.
        pub(in crate::driver) fn new() -> io::Result<Self> {
            let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
            // Registering is deprecated for types that may close or change their descriptor, in favour of an unsafe
            // function that has the caller promise that they do not. An `OwnedFd` does not, and this crate forbids
            // unsafe code.
            #[allow(deprecated)]
            AsyncFd::with_interest(fd, Interest::READABLE).map(Self)
        }

        /// Fires once, `after` from now; a deadline already reached fires at once.
        pub(in crate::driver) fn arm(&self, after: Duration) {
            // A zero would disarm the timer.
            let after = after.max(Duration::from_nanos(1));
            let value = Timespec {
                tv_sec: i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: after.subsec_nanos().into(),
            };
            let spec = Itimerspec { it_interval: Timespec::default(), it_value: value };
            timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &spec)
                .expect("the descriptor is a timerfd and the time is normalized, and nothing else can fail");
        }

        /// Completes when the armed deadline has passed, and not again before the next arming. Cancel safe.
        pub(in crate::driver) async fn fired(&self) {
            loop {
                // An error means that the runtime is going away, and this task with it.
                let Ok(mut ready) = self.0.readable().await else { return std::future::pending().await };
                let mut expirations = [0; 8];
                // Nothing to read: armed anew between firing and now. Then readiness is cleared and the wait goes on.
                if let Ok(Ok(_)) = ready.try_io(|fd| Ok(rustix::io::read(fd, &mut expirations)?)) {
                    return;
                }
            }
        }
    }
}

#[cfg(any(test, not(target_os = "linux")))]
mod portable {
    use std::io;
    use std::sync::{Mutex, PoisonError};
    use std::time::Duration;

    use tokio::sync::Notify;
    use tokio::time::{Instant, sleep_until};

    /// A one-shot timer. Arming replaces the earlier deadline; precision is a millisecond.
    pub(in crate::driver) struct Timer {
        deadline: Mutex<Option<Instant>>,
        moved: Notify,
    }

    impl Timer {
        #[cfg_attr(test, allow(clippy::unnecessary_wraps))]
        pub(in crate::driver) fn new() -> io::Result<Self> {
            Ok(Self { deadline: Mutex::new(None), moved: Notify::new() })
        }

        pub(in crate::driver) fn arm(&self, after: Duration) {
            *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + after);
            self.moved.notify_one();
        }

        pub(in crate::driver) async fn fired(&self) {
            loop {
                let deadline = *self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
                let Some(deadline) = deadline else {
                    self.moved.notified().await;
                    continue;
                };
                tokio::select! {
                    () = sleep_until(deadline) => {
                        let mut current = self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
                        if *current == Some(deadline) {
                            *current = None;
                            return;
                        }
                    }
                    () = self.moved.notified() => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    macro_rules! timer_tests {
        ($name:ident, $timer:ty) => {
            mod $name {
                use super::*;

                #[tokio::test]
                async fn an_armed_timer_fires_once_and_not_before_its_time() {
                    let timer = <$timer>::new().unwrap();
                    let armed = Instant::now();
                    timer.arm(Duration::from_millis(5));
                    timer.fired().await;
                    assert!(armed.elapsed() >= Duration::from_millis(5));
                    let again = tokio::time::timeout(Duration::from_millis(20), timer.fired()).await;
                    assert!(again.is_err(), "a one-shot timer fired twice");
                }

                #[tokio::test]
                async fn arming_again_replaces_the_deadline_in_both_directions() {
                    let timer = <$timer>::new().unwrap();
                    timer.arm(Duration::from_secs(3600));
                    timer.arm(Duration::from_millis(1));
                    timer.fired().await;
                    timer.arm(Duration::from_millis(1));
                    timer.arm(Duration::from_secs(3600));
                    let early = tokio::time::timeout(Duration::from_millis(20), timer.fired()).await;
                    assert!(early.is_err(), "the replaced deadline fired");
                }

                #[tokio::test]
                async fn a_deadline_in_the_past_fires_at_once() {
                    let timer = <$timer>::new().unwrap();
                    timer.arm(Duration::ZERO);
                    timer.fired().await;
                }
            }
        };
    }

    timer_tests!(portable, crate::driver::timer::portable::Timer);
    #[cfg(target_os = "linux")]
    timer_tests!(precise, crate::driver::timer::precise::Timer);
}
