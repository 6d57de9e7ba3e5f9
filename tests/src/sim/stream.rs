//! Reliable streams: a request goes to a peer and its answer comes back, whole, or the asker hears that it failed.
//!
//! A stream that a cut link, a dead or a stopped process keeps from going on fails when its time is up; one that breaks
//! by chance fails at once, half way there or half way back.

use std::collections::BTreeMap;

use cahoots_crdt::ReplicaId;
use cahoots_gossip::engine::{Ask, Served};

use super::World;
use super::detector::Appointment;

/// Virtual microseconds after which an asker gives up.
const STREAM_MICROS_MAX: u64 = 3_000_000;
/// Buckets of more than so many bytes are long ones for some of those who answer: put off, or copied first.
const LONG_BYTES: usize = 500;
/// Between two looks whether a stopped process goes on.
const PAUSE_MICROS: u64 = 100_000;

/// What happens to a stream next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Leg {
    /// The request arrives.
    There,
    /// The answer arrives.
    Back,
    /// It breaks, or its time is up.
    End,
}

struct Stream {
    /// The host of the process that asked, and when that process began: its id may change meanwhile.
    from: (usize, u64),
    /// Under which id it asked.
    asker: ReplicaId,
    /// The host on which it believes the peer to be.
    to: usize,
    number: u64,
    peer: ReplicaId,
    body: Vec<u8>,
    /// Breaks on its way back.
    breaks: bool,
}

/// All streams under way.
#[derive(Default)]
pub(super) struct Streams {
    opened: u64,
    open: BTreeMap<u64, Stream>,
}

impl World {
    pub(super) fn open_stream(&mut self, host: usize, ask: Ask) {
        let Ask { number, peer, body } = ask;
        let process = self.process(host);
        let (asker, from) = (process.engine.id(), (host, process.born));
        self.streams.opened += 1;
        let id = self.streams.opened;
        let at = self.home_of(peer, host);
        let breaks = self.network.breaks_stream(host, at);
        let arrives = self.network.stream_delay(self.now, host, at, body.len());
        self.streams
            .open
            .insert(id, Stream { from, asker, to: at, number, peer, body, breaks: breaks && id.is_multiple_of(2) });
        let leg = if breaks && !id.is_multiple_of(2) { Leg::End } else { Leg::There };
        self.appoint(self.now + arrives, Appointment::Stream { id, leg });
        self.appoint(self.now + STREAM_MICROS_MAX, Appointment::Stream { id, leg: Leg::End });
    }

    pub(super) fn continue_stream(&mut self, id: u64, leg: Leg) {
        let Some(stream) = self.streams.open.get(&id) else { return };
        let Stream { from: (from, born), asker, to, peer, .. } = *stream;
        match leg {
            Leg::There => {
                let process = self.hosts[to].process.as_ref();
                let there = process.is_some_and(|process| process.engine.id() == peer && !process.stopped);
                if !there || self.streams_blocked || self.network.is_cut(from, to) {
                    return; // until its time is up
                }
                let (body, breaks) = (stream.body.clone(), stream.breaks);
                let now = self.read_clocks(to);
                let engine = &mut self.process_mut(to).engine;
                let answer = match id % 4 {
                    0 => engine.serve_short(now, asker, &body, LONG_BYTES),
                    1 => engine.serve_long(now, asker, &body, LONG_BYTES).and_then(Served::bytes),
                    _ => engine.serve(now, asker, &body),
                };
                self.pump(to); // serving seals the window
                let bytes = answer.as_ref().map_or(0, Vec::len);
                let arrives = self.network.stream_delay(self.now, to, from, bytes);
                let Some(stream) = self.streams.open.get_mut(&id) else { return };
                match answer {
                    Ok(answer) => stream.body = answer,
                    Err(_) => stream.breaks = true,
                }
                let leg = if breaks || stream.breaks { Leg::End } else { Leg::Back };
                self.appoint(self.now + arrives, Appointment::Stream { id, leg });
            }
            Leg::Back if self.network.is_cut(to, from) => {}
            Leg::Back | Leg::End => {
                let host = from;
                let Some(process) = self.hosts[host].process.as_ref().filter(|process| process.born == born) else {
                    self.streams.open.remove(&id);
                    return;
                };
                if process.stopped {
                    return self.appoint(self.now + PAUSE_MICROS, Appointment::Stream { id, leg });
                }
                let Some(stream) = self.streams.open.remove(&id) else { return };
                let now = self.read_clocks(host);
                let answer = Some(&stream.body[..]).filter(|_| leg == Leg::Back);
                self.network.weather.streams_failed += u64::from(answer.is_none());
                self.process_mut(host).engine.handle_answer(now, stream.number, answer);
                self.pump(host);
            }
        }
    }
}
