//! Datagrams in and out of the engines, and what must hold of each.

use cahoots_gossip::engine::{Event, Received};
use cahoots_gossip::wire::Refusal;

use super::World;
use super::joining::readiness;
use super::process::Waiting;

/// More datagrams than this from one input are a queue without a bound.
const TRANSMITS_AT_ONCE: usize = 20_000;

impl World {
    pub(super) fn land(&mut self) {
        let flight = self.network.pop().expect("one is due");
        let host = self.hosts.iter().position(|host| host.address == flight.to).expect("addresses are hosts'");
        self.arrive(host, Waiting { source: flight.source, datagram: flight.datagram, damaged: flight.damaged });
    }

    pub(super) fn arrive(&mut self, host: usize, waiting: Waiting) {
        match &mut self.hosts[host].process {
            None => self.tally.to_nobody += 1,
            Some(process) if process.stopped || process.slow_us > 0 => {
                self.tally.waited += u64::from(!process.stopped);
                self.tally.socket_overflows += u64::from(!process.enqueue(waiting, self.backlog));
            }
            Some(_) => self.receive(host, &waiting),
        }
    }

    pub(super) fn receive(&mut self, host: usize, waiting: &Waiting) {
        let now = self.read_clocks(host);
        let applied = waiting.damaged.then(|| self.process(host).engine.store().version_vector().clone());
        let outcome = self.process_mut(host).engine.handle_datagram(now, waiting.source, &waiting.datagram);
        if let Some(before) = applied {
            assert_eq!(*self.process(host).engine.store().version_vector(), before, "what is refused leaves no trace");
        }
        match outcome {
            Ok(Received::Membership(_) | Received::Probe(_)) => panic!("membership is told by hand here"),
            Ok(_) => assert!(!waiting.damaged, "a damaged datagram was accepted: {:02x?}", waiting.datagram),
            Err(Refusal::UnknownPeer) if !waiting.damaged => self.tally.from_unknown += 1,
            Err(Refusal::OtherReceiver) if !waiting.damaged => self.tally.to_predecessor += 1,
            Err(refusal) => {
                assert!(waiting.damaged, "a sound datagram was refused: {refusal}");
                self.tally.refused += 1;
            }
        }
        self.pump(host);
    }

    /// Takes out of an engine everything it has to say.
    pub(super) fn pump(&mut self, host: usize) {
        let now = self.read_clocks(host);
        let source = self.hosts[host].address;
        let limit = self.config.datagram_bytes_max;
        for sent in 0.. {
            assert!(sent < TRANSMITS_AT_ONCE, "host {host} does not stop sending");
            let Some(transmit) = self.process_mut(host).engine.poll_transmit(now) else { break };
            let to = self.hosts.iter().position(|host| host.address == transmit.to).expect("it knows hosts only");
            for datagram in transmit.datagrams() {
                assert!(datagram.len() <= limit, "a datagram of {} bytes, limit {limit}", datagram.len());
                self.listener.hear(datagram);
                assert!(
                    self.doubtful || self.listener.forks.is_empty(),
                    "host {host} sends another event under a dot in use"
                );
                self.tally.longest_datagram = self.tally.longest_datagram.max(datagram.len());
                self.network.send(self.now, host, to, source, transmit.to, datagram);
            }
        }
        while let Some(ask) = self.process_mut(host).engine.poll_ask() {
            self.open_stream(host, ask);
        }
        let wall = now.wall;
        let process = self.hosts[host].process.as_mut().expect("a process runs there");
        let (mut conflict, mut ready) = (false, Vec::new());
        while let Some(event) = process.engine.poll_event() {
            if let Event::FingerprintMismatch { .. } | Event::IdentityConflict { .. } | Event::Forked { .. } = event {
                assert!(self.doubtful, "host {host} reports {event:?}");
            }
            conflict |= matches!(event, Event::IdentityConflict { .. });
            ready.extend(readiness(&event));
            self.tally.note(&event);
            process.events.push(event);
        }
        self.tally.changes += process.hear_changes(wall);
        ready.into_iter().for_each(|reason| self.check_ready(host, reason));
        self.note_standing(host);
        if conflict {
            self.take_new_id(host);
            self.pump(host);
        }
    }
}
