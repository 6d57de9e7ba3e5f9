//! Whether the streams of peers can be had.
//!
//! They have a port of their own, so a firewall may let datagrams through and not streams. A peer is live all the same; but
//! who has to catch up from it should not be the first to find out. So each is connected to once when it is up, and again
//! at a low rate while that fails; what requests find out on their way counts as well.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cahoots_crdt::ReplicaId;
use tokio::time::{Instant, sleep_until};

use super::client::Carrier;
use crate::driver::membership::member::{Member, MemberState, Streams};

/// Between two attempts to connect to peers whose streams cannot be had. One takes four datagrams of 1,200 bytes in vain,
/// and one at a time is made.
const RETRY: Duration = Duration::from_secs(15);

/// Attempts begin spread over this time for each peer: in a large cluster all others connect to one that is new.
const SPREAD: Duration = Duration::from_millis(20);

/// Runs until the task is aborted.
pub(super) async fn check(carrier: Arc<Carrier>) {
    let mut members = carrier.shared().members.subscribe();
    let mut due: BTreeMap<(ReplicaId, SocketAddr), Instant> = BTreeMap::new();
    loop {
        let now = Instant::now();
        let peers = peers(&members.borrow_and_update());
        due.retain(|peer, _| {
            peers.iter().any(|(it, streams)| it == peer && !matches!(streams, Streams::Reachable { .. }))
        });
        let spread = SPREAD * u32::try_from(peers.len()).unwrap_or(u32::MAX);
        for ((id, addr), streams) in peers {
            let wait = match streams {
                Streams::Reachable { .. } => continue,
                Streams::Unreachable { .. } => RETRY,
                // Ids are random numbers.
                _ => spread * u32::from(id.get().to_le_bytes()[0] ^ carrier.shared().id().get().to_le_bytes()[0]) / 256,
            };
            due.entry((id, addr)).or_insert(now + wait);
        }
        let Some((peer, at)) = due.iter().min_by_key(|(_, at)| **at).map(|(peer, at)| (*peer, *at)) else {
            // The sender lives as long as this task.
            let _ = members.changed().await;
            continue;
        };
        tokio::select! {
            _ = members.changed() => {}
            () = sleep_until(at) => {
                carrier.check(peer.0).await;
                due.insert(peer, Instant::now() + RETRY);
            }
        }
    }
}

/// The live peers that take streams.
fn peers(members: &[Member]) -> Vec<((ReplicaId, SocketAddr), Streams)> {
    let live = members.iter().filter(|member| !member.is_self && member.state == MemberState::Live);
    live.filter_map(|member| Some(((member.id, member.bulk?), member.streams))).collect()
}
