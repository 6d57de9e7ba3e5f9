//! Deadlines that are held off while a source is followed.
//!
//! A replica of Redis lets nothing expire by itself: its primary tells it what has. So it has to be here, because what is
//! applied late would be applied to keys that have gone: a session whose end was put off at the source in time would have
//! ended here before that was heard, and a counter would begin again. So while a source is followed every deadline is put off by
//! a century; what ends at the source is deleted by what the source sends. At the end each deadline is put back, unless
//! somebody has written another one meanwhile.
//!
//! A deadline more than half a century away is one that is held: so what a process that was killed has left can be put right.

use std::time::SystemTime;

use super::super::resp_client::{Reply, RespClient};
use super::keyspace;
use super::target::TargetError;
use crate::resp::{Args, integer};

/// How far, in milliseconds: a century.
pub(super) const HELD_MS: u64 = 100 * 365 * 86_400_000;

/// The words of a command that sets a deadline, with the deadline held off; `None` for any other command.
pub(super) fn held(args: Args<'_>) -> Option<Vec<Vec<u8>>> {
    let name = args.at(0).to_ascii_lowercase();
    let place = match &*name {
        b"expire" | b"expireat" | b"setex" => Some((2, 1_000)),
        b"pexpire" | b"pexpireat" | b"psetex" => Some((2, 1)),
        // Zero is a value without an end.
        b"restore" => Some((2, 1)).filter(|_| args.get(2) != Some(b"0")),
        b"set" => of_option(args, 3),
        b"getex" => of_option(args, 2),
        _ => None,
    };
    let (at, unit) = place?;
    let until = integer(args.get(at)?)?.checked_add_unsigned(HELD_MS / unit)?;
    let mut words: Vec<Vec<u8>> = args.iter().map(<[u8]>::to_vec).collect();
    words[at] = until.to_string().into_bytes();
    Some(words)
}

/// Where the number stands behind an option that sets a deadline, and how many milliseconds it counts.
fn of_option(args: Args<'_>, from: usize) -> Option<(usize, u64)> {
    (from..args.len()).find_map(|at| match &*args.at(at).to_ascii_lowercase() {
        b"ex" | b"exat" => Some((at + 1, 1_000)),
        b"px" | b"pxat" => Some((at + 1, 1)),
        _ => None,
    })
}

/// Puts every deadline back that is held; how many there were.
pub(super) fn release(client: &mut RespClient) -> Result<u64, TargetError> {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let held_from = u64::try_from(now.as_millis()).unwrap_or(u64::MAX).saturating_add(HELD_MS / 2);
    keyspace::each_page(client, |client, _, keys| release_keys(client, keys, held_from))
}

fn release_keys(client: &mut RespClient, keys: &[Vec<u8>], held_from: u64) -> Result<u64, TargetError> {
    let mut released = 0;
    // One by one where names are long: what is asked for is never more than a socket holds.
    for keys in keys.chunk_by(|a, b| a.len() + b.len() < 128) {
        keys.iter().for_each(|key| client.prepare(&[b"PEXPIRETIME", key]));
        client.send()?;
        let mut held = Vec::new();
        for key in keys {
            if let Reply::Integer(until) = client.receive()?
                && let Some(until) = u64::try_from(until).ok().filter(|until| *until >= held_from)
            {
                held.push((key, until.saturating_sub(HELD_MS).max(1)));
            }
        }
        // If it has that deadline still: a value that a client has written meanwhile keeps its own, or none.
        for (key, until) in &held {
            client.prepare(&[b"PEXPIREAT", key, until.to_string().as_bytes(), b"XX", b"LT"]);
        }
        client.send()?;
        for _ in &held {
            match client.receive()? {
                Reply::Integer(done) => released += u64::from(done == 1),
                other => return Err(other.unexpected().into()),
            }
        }
    }
    Ok(released)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::KeptArgs;

    #[test]
    fn every_form_of_a_deadline_is_held_off_and_nothing_else_is_changed() {
        for (words, expected) in [
            ("PEXPIREAT k 5", Some("PEXPIREAT k 3153600000005")),
            ("EXPIREAT k 5 NX", Some("EXPIREAT k 3153600005 NX")),
            ("expire k 5", Some("expire k 3153600005")),
            ("PEXPIRE k -5", Some("PEXPIRE k 3153599999995")),
            ("SETEX k 5 ex", Some("SETEX k 3153600005 ex")),
            ("PSETEX k 5 v", Some("PSETEX k 3153600000005 v")),
            ("SET k px PXAT 5", Some("SET k px PXAT 3153600000005")),
            ("SET k v XX ex 5", Some("SET k v XX ex 3153600005")),
            ("GETEX k PXAT 5", Some("GETEX k PXAT 3153600000005")),
            ("RESTORE k 5 p ABSTTL", Some("RESTORE k 3153600000005 p ABSTTL")),
            ("RESTORE k 0 p", None),
            ("SET k ex", None),
            ("SET k v KEEPTTL", None),
            ("GETEX k PERSIST", None),
            ("PEXPIREAT k x", None),
            ("PEXPIREAT k 9223372036854775807", None),
            ("PERSIST k", None),
            ("HPEXPIREAT k 5 FIELDS 1 f", None),
            ("RPUSH k ex 5", None),
        ] {
            let args = KeptArgs::of(words.split(' '));
            let text = held(args.args()).map(|words| String::from_utf8(words.join(&b' ')).unwrap());
            assert_eq!(text.as_deref(), expected, "{words}");
        }
    }
}
