//! The loop that feeds the engine datagrams and time.

use std::sync::{Arc, PoisonError};

use super::engine_lock::Shared;
use super::socket::{Endpoint, Inbox};
use crate::engine::{Event, ReadyReason, Received};

/// Runs of datagrams taken from the engine in one step. A step holds the engine's lock, so this bounds what a reader waits
/// behind it; what is left is taken in the next one.
pub(super) const BURST_MAX: usize = 8;

/// Runs of datagrams that wait for a full socket to become writable. While any does, none are taken from the engine, so
/// this is reached only by bursts that were already under way in other threads; what does not fit is dropped and counted.
pub const UNSENT_MAX: usize = 128;

/// Runs until the task is aborted.
pub(super) async fn pump(shared: Arc<Shared>, endpoint: Arc<Endpoint>) {
    let mut inbox = Inbox::new();
    // A deadline or a datagram may be there from before the first wait.
    shared.drive(|_, _| ());
    loop {
        tokio::select! {
            () = endpoint.readable() => {}
            () = shared.timer.fired() => shared.disarmed(),
            () = shared.wake.notified() => {}
            () = endpoint.writable(), if shared.blocked() => shared.unblock(&endpoint),
        }
        endpoint.receive(&mut inbox, &shared.tally);
        feed(&shared, &inbox);
    }
}

/// Hands a burst to the engine under one lock, answers probes, and hands membership messages on to chitchat.
fn feed(shared: &Shared, inbox: &Inbox) {
    let mut refused = 0;
    let (membership, probes) = shared.drive(|replica, now| {
        let (mut membership, mut probes) = (Vec::new(), Vec::new());
        for (from, datagram) in inbox.iter() {
            match replica.handle_datagram(now, from, datagram) {
                Ok(Received::Membership(payload)) => membership.push((from, payload)),
                Ok(Received::Probe(probe)) => probes.push((probe, datagram.len())),
                Ok(Received::Engine) => {}
                // What and why is the engine's to count.
                Err(_) => refused += 1,
            }
        }
        // Before any client sees what came with them.
        shared.tally.datagrams_refused.add(refused);
        (membership, probes)
    });
    for (probe, bytes) in probes {
        shared.tally.probes_received.add(1);
        shared.take_probe(probe, bytes);
    }
    if membership.is_empty() {
        return;
    }
    let inbox = shared.membership.lock().unwrap_or_else(PoisonError::into_inner);
    for message in membership {
        shared.tally.membership_received.add(1);
        if inbox.as_ref().is_none_or(|inbox| inbox.try_send(message).is_err()) {
            shared.tally.membership_dropped.add(1);
        }
    }
}

/// Tells people about an event. Acknowledgements come by the thousand and are not news.
pub(super) fn report(event: &Event) {
    match event {
        Event::Acked { .. } | Event::Kept { .. } | Event::IdentityConflict { .. } => {} // the last was acted on already
        Event::Ready { reason } => report_ready(*reason),
        Event::ProbationEnded => tracing::info!("the peers know of no other use of this replica's id"),
        Event::InSync { peer } => tracing::debug!(%peer, "in sync with a peer"),
        Event::CatchingUp { peer } => tracing::info!(%peer, "catching up from a peer, bucket by bucket"),
        Event::CaughtUp { peer, buckets } => tracing::info!(%peer, buckets, "caught up from a peer"),
        Event::CatchUpBroken { peer, buckets, left } => {
            tracing::warn!(%peer, buckets, left, "some buckets could be fetched from nobody; trying again later");
        }
        Event::StreamsFail { peer } => tracing::warn!(
            %peer,
            "no stream to a peer can be had: catching up from it over datagrams, slower (is its port for streams, which \
             --bulk-listen fixes, let through?)"
        ),
        Event::FingerprintMismatch { peer, ours, theirs } => tracing::error!(
            %peer, ?ours, ?theirs,
            "equal version vectors and different states: a bug or bad memory; reconciling"
        ),
        Event::Forked { origin, seq } => {
            tracing::error!(%origin, seq, "one id is used by two processes: one of their events is not applied here");
        }
        Event::ClockAhead { ahead_ms: 0 } => tracing::info!("this machine's clock agrees with the cluster again"),
        Event::ClockAhead { ahead_ms } => {
            tracing::error!(ahead_ms, "this machine's clock is too far ahead of the cluster; writes are refused");
        }
        Event::Rejected { peer, reason } => tracing::warn!(%peer, reason, "refused what a peer sent"),
    }
}

fn report_ready(reason: ReadyReason) {
    match reason {
        ReadyReason::CaughtUp { peer } => tracing::info!(%peer, "ready: this node has what a complete peer had"),
        ReadyReason::Together => tracing::info!("ready: this node and its peers, all of them joining, have the same"),
        ReadyReason::Alone => tracing::warn!("serving alone: nobody else was found"),
        ReadyReason::Unfinished { percent } => {
            tracing::warn!(
                percent,
                "serving what is here, which is not everything: no progress in catching up for too long; trying on, and no \
                 other node counts this one as ready before it has the rest"
            );
        }
        _ => tracing::info!("ready"),
    }
}
