//! What a node says about itself: a handful of short key-values that chitchat carries.
//!
//! Addresses, versions and limits only, never user data: every member holds a copy of every announcement.

use std::net::SocketAddr;

use cahoots_crdt::ReplicaId;

use super::founding::Founding;
use crate::Limits;
use crate::engine::{Stance, Standing};

/// Raised when members of the old and the new one must not be peers although each can read the other's datagrams. (Of
/// other datagrams the envelope refuses even the membership messages inside.)
const PROTOCOL_VERSION: &str = "1";

const ID: &str = "id";
const VERSION: &str = "version";
const PROTOCOL: &str = "protocol";
const LIMITS: &str = "limits";
const BULK: &str = "bulk";
const ZONE: &str = "zone";
const READY: &str = "ready";
const STANDING: &str = "standing";
const AWAITS_SEEDS: &str = "awaits-seeds";
const LACKING: &str = "lacking";
const JOINED: &str = "joined";
const LEAVING: &str = "leaving";
const FOUNDING: &str = "founding";
const FORGOTTEN: &str = "forgotten";

/// The last orders to forget a member that are announced: 20 bytes each, and they reach all within seconds.
pub(in crate::driver) const FORGOTTEN_MAX: usize = 64;
/// Ids announced of those who knew of data that they lacked.
const LACKING_MAX: usize = 64;

/// An order to forget a member, as its announcer counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::driver) struct Forgotten {
    pub(in crate::driver) number: u64,
    pub(in crate::driver) id: ReplicaId,
}

/// A member's announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::driver) struct Announcement {
    pub(in crate::driver) id: ReplicaId,
    /// Of the software, for people to read.
    pub(in crate::driver) version: String,
    /// Of what peers expect of each other; see [`PROTOCOL_VERSION`].
    pub(in crate::driver) protocol: String,
    /// Of keys, values and clocks, which must be equal in a cluster: see [`Limits`].
    pub(in crate::driver) limits: String,
    /// Where streams are taken. One that makes no sense counts as none.
    pub(in crate::driver) bulk: Option<SocketAddr>,
    pub(in crate::driver) zone: Option<String>,
    /// Whether the node serves clients, and has all that it knows of.
    pub(in crate::driver) ready: bool,
    /// How it stands.
    pub(in crate::driver) stance: Stance,
    /// Whether the node is about to stop for good.
    pub(in crate::driver) leaving: bool,
    /// Which first start of a cluster it goes back to.
    pub(in crate::driver) founding: Option<Founding>,
    /// Members that were down, and that an operator ordered to be forgotten; the latest last.
    pub(in crate::driver) forgotten: Vec<Forgotten>,
}

/// Why an announcement cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::driver) enum Unreadable {
    /// Not all of it has arrived yet.
    Incomplete,
    /// The id is not one.
    Malformed,
}

impl Announcement {
    pub(in crate::driver) fn new(
        id: ReplicaId,
        limits: &Limits,
        bulk: Option<SocketAddr>,
        zone: Option<String>,
    ) -> Self {
        Self {
            id,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: PROTOCOL_VERSION.to_owned(),
            limits: limits_text(limits),
            bulk,
            zone,
            ready: true,
            stance: Stance::default(),
            leaving: false,
            founding: None,
            forgotten: Vec::new(),
        }
    }

    pub(in crate::driver) fn key_values(&self) -> Vec<(String, String)> {
        // The id comes last: chitchat delivers by version, so a member that has read it has read the rest.
        let mut pairs = vec![(VERSION, self.version.clone()), (PROTOCOL, self.protocol.clone())];
        pairs.push((LIMITS, self.limits.clone()));
        pairs.extend(self.bulk.map(|bulk| (BULK, bulk.to_string())));
        pairs.extend(self.zone.clone().map(|zone| (ZONE, zone)));
        pairs.push((READY, flag(self.ready).to_owned()));
        pairs.push((STANDING, self.stance.standing.name().to_owned()));
        pairs.push((AWAITS_SEEDS, flag(self.stance.awaits_seeds).to_owned()));
        let lacking: Vec<String> = self.stance.lacking.iter().take(LACKING_MAX).map(ToString::to_string).collect();
        pairs.push((LACKING, lacking.join(" ")));
        pairs.push((JOINED, self.stance.joined.map(|id| id.to_string()).unwrap_or_default()));
        pairs.push((LEAVING, flag(self.leaving).to_owned()));
        pairs.extend(self.founding.as_ref().map(|founding| (FOUNDING, founding.to_string())));
        let orders = self.forgotten.iter().rev().take(FORGOTTEN_MAX).rev();
        let orders: Vec<String> = orders.map(|it| format!("{}:{}", it.number, it.id)).collect();
        pairs.push((FORGOTTEN, orders.join(" ")));
        pairs.push((ID, self.id.to_string()));
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    pub(in crate::driver) fn parse<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<Self, Unreadable> {
        let text = |key| get(key).map(str::to_owned).ok_or(Unreadable::Incomplete);
        let id = get(ID).ok_or(Unreadable::Incomplete)?;
        let id = u64::from_str_radix(id, 16).map_err(|_| Unreadable::Malformed)?;
        Ok(Self {
            id: ReplicaId::new(id),
            version: text(VERSION)?,
            protocol: text(PROTOCOL)?,
            limits: text(LIMITS)?,
            bulk: get(BULK).and_then(|bulk| bulk.parse().ok()),
            zone: get(ZONE).map(str::to_owned),
            ready: get(READY) == Some(flag(true)),
            stance: Stance {
                // One of a later version that this one does not know has some reason to say so.
                standing: Standing::named(&text(STANDING)?).unwrap_or(Standing::Incomplete),
                awaits_seeds: get(AWAITS_SEEDS) == Some(flag(true)),
                lacking: get(LACKING).map(ids).unwrap_or_default(),
                joined: get(JOINED).and_then(|text| ids(text).first().copied()),
            },
            leaving: get(LEAVING) == Some(flag(true)),
            founding: get(FOUNDING).and_then(|text| text.parse().ok()),
            forgotten: get(FORGOTTEN).map(orders).unwrap_or_default(),
        })
    }
}

/// What makes no sense is left out.
fn orders(text: &str) -> Vec<Forgotten> {
    let order = |word: &str| {
        let (number, id) = word.split_once(':')?;
        let id = ReplicaId::new(u64::from_str_radix(id, 16).ok()?);
        Some(Forgotten { number: number.parse().ok()?, id })
    };
    text.split(' ').filter_map(order).take(FORGOTTEN_MAX).collect()
}

/// What makes no sense is left out.
fn ids(text: &str) -> Vec<ReplicaId> {
    let ids = text.split(' ').filter_map(|word| u64::from_str_radix(word, 16).ok());
    ids.map(ReplicaId::new).take(LACKING_MAX).collect()
}

fn flag(set: bool) -> &'static str {
    if set { "1" } else { "0" }
}

/// Limits as they are compared: any difference is a difference of the text.
fn limits_text(limits: &Limits) -> String {
    let Limits { name_bytes_max, value_bytes_max, group_bytes_max, clock_ahead_ms_max } = limits;
    format!("name={name_bytes_max},value={value_bytes_max},group={group_bytes_max},clock={clock_ahead_ms_max}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn parse(pairs: &BTreeMap<String, String>) -> Result<Announcement, Unreadable> {
        Announcement::parse(|key| pairs.get(key).map(String::as_str))
    }

    #[test]
    fn what_is_announced_is_read_back() {
        let bulk = Some(SocketAddr::from(([10, 0, 0, 1], 7201)));
        let mut announcement = Announcement::new(ReplicaId::new(0xBEEF), &Limits::default(), bulk, Some("b-2".into()));
        announcement.leaving = true;
        announcement.stance.awaits_seeds = true;
        announcement.stance.lacking = vec![ReplicaId::new(0xF00), ReplicaId::new(3)];
        announcement.stance.joined = Some(ReplicaId::new(0xF01));
        announcement.founding = Some(Founding { ids: [3, 4].into(), fresh: true });
        announcement.forgotten = [1, 2].map(|number| Forgotten { number, id: ReplicaId::new(number) }).into();
        let pairs = announcement.key_values().into_iter().collect();
        assert_eq!(parse(&pairs), Ok(announcement));
    }

    #[test]
    fn an_announcement_still_arriving_is_incomplete_and_a_bad_id_is_malformed() {
        let announcement = Announcement::new(ReplicaId::new(1), &Limits::default(), None, None);
        let mut pairs: BTreeMap<_, _> = announcement.key_values().into_iter().collect();
        pairs.insert(ID.into(), "not hex".into());
        assert_eq!(parse(&pairs), Err(Unreadable::Malformed));
        pairs.remove(ID);
        assert_eq!(parse(&pairs), Err(Unreadable::Incomplete));
    }

    #[test]
    fn every_limit_shows_in_the_text() {
        let base = limits_text(&Limits::default());
        let mut others = [const { None }; 4].map(|_: Option<()>| Limits::default());
        others[0].name_bytes_max += 1;
        others[1].value_bytes_max += 1;
        others[2].group_bytes_max += 1;
        others[3].clock_ahead_ms_max += 1;
        for other in others {
            assert_ne!(limits_text(&other), base);
        }
    }
}
