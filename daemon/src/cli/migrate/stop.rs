//! Who follows a source is told to stop: by a signal, or because nothing more is to come.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::super::stream::Stream;

/// The exit code of a process that a second signal ends.
const EXIT_INTERRUPTED: i32 = 130;

/// An order to stop, which ends what is being read.
#[derive(Default)]
pub(super) struct Stop {
    is_set: AtomicBool,
    /// What is read at the moment.
    reading: Mutex<Option<Stream>>,
    changed: Condvar,
}

impl Stop {
    pub(super) fn is_set(&self) -> bool {
        self.is_set.load(Acquire)
    }

    pub(super) fn set(&self) {
        self.is_set.store(true, Release);
        let reading = self.reading.lock().expect("nothing panics while it is held");
        if let Some(stream) = &*reading {
            stream.shut();
        }
        self.changed.notify_all();
    }

    /// This is read from now on; an order that has come already ends it.
    pub(super) fn reads(&self, stream: Option<Stream>) {
        let mut reading = self.reading.lock().expect("nothing panics while it is held");
        *reading = stream;
        if let Some(stream) = reading.as_ref().filter(|_| self.is_set()) {
            stream.shut();
        }
    }

    /// Waits for so long, or for the order.
    pub(super) fn wait(&self, time: Duration) {
        let reading = self.reading.lock().expect("nothing panics while it is held");
        let waited = self.changed.wait_timeout_while(reading, time, |_| !self.is_set());
        drop(waited.expect("nothing panics while it is held"));
    }

    /// Sets it at SIGINT or SIGTERM. A second one ends the process.
    pub(super) fn at_signals(self: &Arc<Self>) -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let (mut interrupt, mut terminate) = {
            let _inside = runtime.enter();
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
        };
        let stop = Arc::clone(self);
        std::thread::spawn(move || {
            runtime.block_on(async {
                loop {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                    }
                    if stop.is_set() {
                        std::process::exit(EXIT_INTERRUPTED);
                    }
                    stop.set();
                }
            });
        });
        Ok(())
    }
}
