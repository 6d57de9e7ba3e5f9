//! The log: to stderr, a line for each event worth one, nothing while nothing happens.

use std::io::IsTerminal;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};

use crate::config::{LogFormat, LogLevel};

/// What is worth a line, to be changed while the process runs.
pub(super) struct Level(reload::Handle<LevelFilter, Registry>);

impl Level {
    pub(super) fn set(&self, level: LogLevel) {
        // It fails only where there is no log any more.
        let _ = self.0.reload(filter(level));
    }
}

/// Sends the log of this process to stderr from now on.
pub(super) fn start(format: LogFormat, level: LogLevel) -> Level {
    let (filter, handle) = reload::Layer::new(filter(level));
    let log = tracing_subscriber::registry().with(filter);
    let lines = fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log.with(lines.with_ansi(std::io::stderr().is_terminal())).init(),
        LogFormat::Json => {
            log.with(lines.json().flatten_event(true).with_current_span(false).with_span_list(false)).init();
        }
    }
    Level(handle)
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}
