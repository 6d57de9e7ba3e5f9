//! Which members are peers: the rules, apart from sockets and gossip.
//!
//! Chitchat says who is alive under which name, incarnation and address, and what each announces. The roster turns
//! successive such views into steps for the engine (a peer is up, down, gone) and into refusals, so that
//!
//! - one replica id is at most one peer, at one address;
//! - of one name only the newest incarnation counts, and the id of an incarnation it replaced is gone;
//! - a member that announces our own id (or, being older, one that we had to give up), our own name, other limits or another protocol is no peer, visibly;
//! - a peer that left said so and is forgotten; one that vanished stays known, for it may be back in days.
//!
//! It refuses to know how anything is sent; time comes in as an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use cahoots_crdt::ReplicaId;

use super::announcement::{Announcement, Unreadable};
use super::member::{ForgetError, Member, MemberState, PeerRefusal};
use crate::engine::Standing;

/// Members that went down and are kept for their return. One costs about 200 bytes and, at a low rate, datagrams to
/// where it was.
pub const DOWN_MAX: usize = 1024;

/// How long a member that went down is kept. Whoever is away for longer comes back through its own seeds.
const DOWN_AGE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// Why a member is gone that somebody had forgotten.
const BY_ORDER: &str = "it was ordered to be forgotten";

/// A live member as chitchat shows it.
#[derive(Clone, Debug)]
pub(in crate::driver) struct Seen {
    pub(in crate::driver) name: String,
    pub(in crate::driver) incarnation: u64,
    pub(in crate::driver) addr: SocketAddr,
    pub(in crate::driver) announcement: Result<Announcement, Unreadable>,
}

/// What follows from a view, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::driver) enum Step {
    Up {
        name: String,
        id: ReplicaId,
        addr: SocketAddr,
        zone: Option<String>,
    },
    Down {
        name: String,
        id: ReplicaId,
    },
    Gone {
        name: String,
        id: ReplicaId,
        why: &'static str,
    },
    /// A peer now stands otherwise; until then it counts as complete.
    Standing {
        id: ReplicaId,
        standing: Standing,
    },
    Refuse {
        name: String,
        addr: SocketAddr,
        refusal: PeerRefusal,
    },
    /// A live member that was started before this node runs under the id with which this node started.
    Conflict {
        name: String,
        id: ReplicaId,
        addr: SocketAddr,
    },
}

/// The members as of the last view.
pub(in crate::driver) struct Roster {
    /// This node, as it announces itself.
    me: Member,
    announced: Announcement,
    /// Ids this node has given up because they are, or were, used elsewhere.
    former: BTreeSet<ReplicaId>,
    /// How long a duplicate may be the shadow of a restart.
    grace: Duration,
    up: BTreeMap<ReplicaId, Member>,
    down: BTreeMap<ReplicaId, (Member, Instant)>,
    refused: BTreeMap<(String, u64, SocketAddr), Refused>,
    /// Orders of peers to forget a member that were followed: name and incarnation of the peer, and the number.
    heeded: BTreeSet<(String, u64, u64)>,
}

struct Refused {
    member: Member,
    refusal: PeerRefusal,
    since: Instant,
    told: bool,
}

impl Roster {
    pub(in crate::driver) fn new(me: (&str, u64, SocketAddr), announced: Announcement, grace: Duration) -> Self {
        let me = member((me.0, me.1, me.2), &announced, MemberState::Live, true);
        let (former, up, down, refused, heeded) = Default::default();
        Self { me, announced, former, grace, up, down, refused, heeded }
    }

    /// Takes over what this node announces now, and its incarnation.
    pub(in crate::driver) fn announce(&mut self, incarnation: u64, announced: Announcement) {
        if self.announced.id != announced.id {
            self.former.insert(self.announced.id);
        }
        let addr = self.me.addr;
        self.me = member((&self.me.name.clone(), incarnation, addr), &announced, MemberState::Live, true);
        self.announced = announced;
    }

    /// Everybody: this node, peers, those that went down, those refused.
    pub(in crate::driver) fn members(&self) -> Vec<Member> {
        let down = self.down.values().map(|(member, _)| member);
        let refused = self.refused.values().map(|refused| &refused.member);
        [&self.me].into_iter().chain(self.up.values()).chain(down).chain(refused).cloned().collect()
    }

    /// Where the members that went down were last.
    pub(in crate::driver) fn down_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.down.values().map(|(member, _)| member.addr)
    }

    /// Where the peers are.
    pub(in crate::driver) fn up_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.up.values().map(|member| member.addr)
    }

    /// When the same view would give other steps.
    pub(in crate::driver) fn recheck_at(&self) -> Option<Instant> {
        self.refused.values().filter(|refused| !refused.told).map(|refused| refused.since + self.grace).min()
    }

    /// Works out what a view of the live members, this node left out, changes.
    pub(in crate::driver) fn update(&mut self, now: Instant, seen: &[Seen]) -> Vec<Step> {
        let mut verdict = self.judge(seen);
        let mut steps = Vec::new();
        self.retire(now, &mut verdict, &mut steps);
        for (id, member) in verdict.peers {
            if let Some((former, _)) = self.down.remove(&id)
                && former.name != member.name
            {
                tracing::info!(%id, from = former.name, to = member.name, "a replica came back under another name");
            }
            let standing = member.relied_on_as();
            let known = self.up.insert(id, member.clone());
            let stood = known.as_ref().map_or(Standing::Complete, Member::relied_on_as);
            if known.is_none_or(|known| known.addr != member.addr || known.zone != member.zone) {
                steps.push(Step::Up { name: member.name, id, addr: member.addr, zone: member.zone });
            }
            if stood != standing {
                steps.push(Step::Standing { id, standing });
            }
        }
        self.refuse(now, verdict.refused, &mut steps);
        self.heed(seen, &mut steps);
        steps
    }

    /// Whether this replica is a peer that is up.
    pub(in crate::driver) fn is_up(&self, id: ReplicaId) -> bool {
        self.up.contains_key(&id)
    }

    /// Forgets the members that are down and go by this name or id; says which.
    ///
    /// # Errors
    /// None is down, and one that is alive goes by it.
    pub(in crate::driver) fn forget_by_order(
        &mut self,
        who: &str,
        steps: &mut Vec<Step>,
    ) -> Result<Vec<ReplicaId>, ForgetError> {
        let id = u64::from_str_radix(who, 16).ok().filter(|_| who.len() == 16).map(ReplicaId::new);
        let goes_by = |member: &Member| member.name == who || Some(member.id) == id;
        let down = self.down.values().map(|(member, _)| member).filter(|it| goes_by(it));
        let down: Vec<_> = down.map(|member| member.id).collect();
        if down.is_empty()
            && let Some(alive) = self.members().into_iter().find(goes_by)
        {
            let Member { name, id, addr, is_self, .. } = alive;
            return Err(if is_self { ForgetError::OwnNode } else { ForgetError::Alive { name, id, addr } });
        }
        down.iter().for_each(|id| self.forget(*id, BY_ORDER, steps));
        Ok(down)
    }

    /// Follows what peers say was ordered: each order once, so that a member that comes back and goes down again is
    /// listed again.
    fn heed(&mut self, seen: &[Seen], steps: &mut Vec<Step>) {
        let mut orders = BTreeMap::new();
        for seen in seen {
            let Ok(announcement) = &seen.announcement else { continue };
            if self.is_up(announcement.id) {
                let orders_of = announcement.forgotten.iter();
                orders.extend(orders_of.map(|it| ((seen.name.clone(), seen.incarnation, it.number), it.id)));
            }
        }
        self.heeded.retain(|order| orders.contains_key(order));
        for (order, id) in orders {
            // One that seems to be up here may be found to be down in a moment; or it is back, and the order withdrawn.
            if !self.is_up(id) && self.heeded.insert(order) {
                self.forget(id, BY_ORDER, steps);
            }
        }
    }

    /// Sorts the live members into peers, leavers and refused ones.
    fn judge(&self, seen: &[Seen]) -> Verdict {
        let mut verdict = Verdict::default();
        let mut newest: BTreeMap<&str, u64> = BTreeMap::new();
        for seen in seen {
            let incarnation = newest.entry(&seen.name).or_default();
            *incarnation = seen.incarnation.max(*incarnation);
        }
        for seen in seen {
            let origin = (seen.name.as_str(), seen.incarnation, seen.addr);
            let announcement = match &seen.announcement {
                Ok(announcement) => announcement,
                Err(Unreadable::Incomplete) => continue,
                Err(Unreadable::Malformed) => {
                    let unknown = Announcement { id: ReplicaId::new(0), ..self.announced.clone() };
                    verdict.refuse(origin, &unknown, PeerRefusal::Malformed);
                    continue;
                }
            };
            if announcement.leaving {
                verdict.left.insert(announcement.id);
                continue;
            }
            let refusal = if self.is_own_id(announcement.id, seen) {
                Some(PeerRefusal::OwnId)
            } else if seen.name == self.me.name {
                Some(PeerRefusal::OwnName)
            } else if newest.get(seen.name.as_str()).is_some_and(|newest| *newest > seen.incarnation) {
                Some(PeerRefusal::DuplicateName)
            } else if announcement.protocol != self.announced.protocol {
                Some(PeerRefusal::Protocol { theirs: announcement.protocol.clone() })
            } else if announcement.limits != self.announced.limits {
                Some(PeerRefusal::Limits { theirs: announcement.limits.clone() })
            } else {
                None
            };
            match refusal {
                Some(refusal) => verdict.refuse(origin, announcement, refusal),
                None => self.choose(&mut verdict, origin, announcement),
            }
        }
        verdict
    }

    /// Whether a member goes by this node's id, or goes on with one that this node has given up in favour of it.
    fn is_own_id(&self, id: ReplicaId, seen: &Seen) -> bool {
        id == self.me.id || self.former.contains(&id) && self.is_older((seen.incarnation, seen.addr))
    }

    /// Whether a member was started before this node.
    fn is_older(&self, started: (u64, SocketAddr)) -> bool {
        started < (self.me.incarnation, self.me.addr)
    }

    /// One replica id is one peer: the one we have, else the newest.
    fn choose(&self, verdict: &mut Verdict, origin: (&str, u64, SocketAddr), announcement: &Announcement) {
        let id = announcement.id;
        let new = member(origin, announcement, MemberState::Live, false);
        let Some(other) = verdict.peers.get(&id) else {
            verdict.peers.insert(id, new);
            return;
        };
        let ours = self.up.get(&id).map(|up| up.name.as_str());
        let rank = |member: &Member| (Some(member.name.as_str()) == ours, member.incarnation, member.addr);
        let loser =
            if rank(&new) > rank(other) { verdict.peers.insert(id, new).expect("it was just looked at") } else { new };
        verdict.refused.push((loser, PeerRefusal::DuplicateId));
    }

    /// Takes out the peers the view no longer has.
    fn retire(&mut self, now: Instant, verdict: &mut Verdict, steps: &mut Vec<Step>) {
        let names: BTreeMap<&str, u64> =
            verdict.peers.values().map(|member| (member.name.as_str(), member.incarnation)).collect();
        let replaced = |member: &Member| match names.get(member.name.as_str()) {
            Some(incarnation) if *incarnation == member.incarnation => Some("it has taken another id"),
            Some(_) => Some("a new incarnation replaced it"),
            None => None,
        };
        let refused: BTreeSet<ReplicaId> = verdict.refused.iter().map(|(member, _)| member.id).collect();
        let missing: Vec<_> = self.up.keys().filter(|id| !verdict.peers.contains_key(id)).copied().collect();
        for id in missing {
            let mut member = self.up.remove(&id).expect("the id was read from this map");
            let why = if verdict.left.contains(&id) {
                "it left"
            } else if let Some(why) = replaced(&member) {
                why
            } else if refused.contains(&id) {
                "it is refused"
            } else {
                member.state = MemberState::Down;
                steps.push(Step::Down { name: member.name.clone(), id });
                self.down.insert(id, (member, now));
                continue;
            };
            steps.push(Step::Gone { name: member.name, id, why });
        }
        let forgotten: Vec<_> = self
            .down
            .iter()
            .filter(|(id, _)| !verdict.peers.contains_key(id))
            .filter_map(|(id, (member, since))| {
                let why = if verdict.left.contains(id) {
                    "it left"
                } else if let Some(why) = replaced(member) {
                    why
                } else if now.duration_since(*since) >= DOWN_AGE_MAX {
                    "it was away too long"
                } else {
                    return None;
                };
                Some((*id, why))
            })
            .collect();
        for (id, why) in forgotten {
            self.forget(id, why, steps);
        }
        while self.down.len() > DOWN_MAX {
            let oldest = self.down.iter().min_by_key(|(_, (_, since))| *since).map(|(id, _)| *id);
            self.forget(oldest.expect("the map is not empty"), "too many members are down", steps);
        }
    }

    fn forget(&mut self, id: ReplicaId, why: &'static str, steps: &mut Vec<Step>) {
        if let Some((member, _)) = self.down.remove(&id) {
            steps.push(Step::Gone { name: member.name, id, why });
        }
    }

    /// Keeps account of who is refused, and tells it once.
    fn refuse(&mut self, now: Instant, refused: Vec<(Member, PeerRefusal)>, steps: &mut Vec<Step>) {
        let mut former = std::mem::take(&mut self.refused);
        for (member, refusal) in refused {
            let key = (member.name.clone(), member.incarnation, member.addr);
            let known = former.remove(&key).filter(|known| known.refusal == refusal);
            let (since, mut told) = known.map_or((now, false), |known| (known.since, known.told));
            if !told && (!refusal.may_be_a_ghost() || now.duration_since(since) >= self.grace) {
                told = true;
                let (name, addr) = (member.name.clone(), member.addr);
                steps.push(Step::Refuse { name: name.clone(), addr, refusal: refusal.clone() });
                // Its own shadow, of before a restart, a node cannot tell from a clone but by its staying.
                if refusal == PeerRefusal::OwnId && self.is_older((member.incarnation, addr)) {
                    steps.push(Step::Conflict { name, id: member.id, addr });
                }
            }
            self.refused.insert(key, Refused { member, refusal, since, told });
        }
    }
}

#[derive(Default)]
struct Verdict {
    peers: BTreeMap<ReplicaId, Member>,
    left: BTreeSet<ReplicaId>,
    refused: Vec<(Member, PeerRefusal)>,
}

impl Verdict {
    fn refuse(&mut self, origin: (&str, u64, SocketAddr), announcement: &Announcement, refusal: PeerRefusal) {
        self.refused.push((member(origin, announcement, MemberState::Refused(refusal.clone()), false), refusal));
    }
}

fn member(origin: (&str, u64, SocketAddr), of: &Announcement, state: MemberState, is_self: bool) -> Member {
    Member {
        name: origin.0.to_owned(),
        id: of.id,
        addr: origin.2,
        bulk: of.bulk,
        incarnation: origin.1,
        is_self,
        state,
        version: of.version.clone(),
        zone: of.zone.clone(),
        ready: of.ready,
        standing: of.standing,
    }
}

#[cfg(test)]
mod tests {
    use super::super::announcement::Forgotten;
    use super::*;
    use crate::Limits;

    const GRACE: Duration = Duration::from_secs(8);

    fn announcement(id: u64) -> Announcement {
        Announcement::new(ReplicaId::new(id), &Limits::default(), None, None)
    }

    fn roster() -> Roster {
        Roster::new(("me", 100, addr(1)), announcement(1), GRACE)
    }

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn seen(name: &str, incarnation: u64, port: u16, id: u64) -> Seen {
        Seen { name: name.into(), incarnation, addr: addr(port), announcement: Ok(announcement(id)) }
    }

    fn up(name: &str, id: u64, port: u16) -> Step {
        Step::Up { name: name.into(), id: ReplicaId::new(id), addr: addr(port), zone: None }
    }

    fn down(name: &str, id: u64) -> Step {
        Step::Down { name: name.into(), id: ReplicaId::new(id) }
    }

    fn gone(name: &str, id: u64, why: &'static str) -> Step {
        Step::Gone { name: name.into(), id: ReplicaId::new(id), why }
    }

    fn refuse(name: &str, port: u16, refusal: PeerRefusal) -> Step {
        Step::Refuse { name: name.into(), addr: addr(port), refusal }
    }

    #[test]
    fn a_member_comes_goes_down_and_comes_back_at_another_address() {
        let (mut roster, now) = (roster(), Instant::now());
        assert_eq!(roster.update(now, &[seen("a", 5, 2, 2)]), [up("a", 2, 2)]);
        assert_eq!(roster.update(now, &[seen("a", 5, 2, 2)]), []);
        assert_eq!(roster.update(now, &[]), [down("a", 2)]);
        assert_eq!(roster.down_addresses().collect::<Vec<_>>(), [addr(2)]);
        assert_eq!(roster.update(now, &[]), []);
        assert_eq!(roster.update(now, &[seen("a", 6, 3, 2)]), [up("a", 2, 3)]);
        assert_eq!(roster.down_addresses().count(), 0);
    }

    #[test]
    fn a_restart_under_a_new_id_makes_the_old_id_gone_whether_it_was_up_or_down() {
        let (mut roster, now) = (roster(), Instant::now());
        roster.update(now, &[seen("a", 5, 2, 2)]);
        let both = [seen("a", 5, 2, 2), seen("a", 6, 2, 3)];
        assert_eq!(roster.update(now, &both), [gone("a", 2, "a new incarnation replaced it"), up("a", 3, 2)]);
        roster.update(now, &[]);
        let restarted = roster.update(now, &[seen("a", 7, 2, 4)]);
        assert_eq!(restarted, [gone("a", 3, "a new incarnation replaced it"), up("a", 4, 2)]);
    }

    #[test]
    fn a_restart_under_the_same_id_never_takes_the_peer_away() {
        let (mut roster, now) = (roster(), Instant::now());
        roster.update(now, &[seen("a", 5, 2, 2)]);
        assert_eq!(roster.update(now, &[seen("a", 5, 2, 2), seen("a", 6, 3, 2)]), [up("a", 2, 3)]);
        assert_eq!(roster.update(now, &[seen("a", 6, 3, 2)]), []);
    }

    #[test]
    fn a_leaver_is_gone_for_good() {
        let (mut roster, now) = (roster(), Instant::now());
        let mut a = seen("a", 5, 2, 2);
        roster.update(now, std::slice::from_ref(&a));
        a.announcement.as_mut().unwrap().leaving = true;
        assert_eq!(roster.update(now, &[a]), [gone("a", 2, "it left")]);
        assert_eq!(roster.update(now, &[]), []);
        assert_eq!(roster.members().len(), 1);
    }

    #[test]
    fn a_member_with_our_id_or_name_is_never_a_peer_and_told_once_when_it_stays() {
        let (mut roster, now) = (roster(), Instant::now());
        let clones = [seen("b", 5, 2, 1), seen("me", 6, 3, 9)];
        assert_eq!(roster.update(now, &clones), []);
        assert_eq!(roster.recheck_at(), Some(now + GRACE));
        let told = roster.update(now + GRACE, &clones);
        let conflict = Step::Conflict { name: "b".into(), id: ReplicaId::new(1), addr: addr(2) };
        assert_eq!(told, [refuse("b", 2, PeerRefusal::OwnId), conflict, refuse("me", 3, PeerRefusal::OwnName)]);
        assert_eq!(roster.update(now + GRACE * 2, &clones), []);
        assert_eq!(roster.recheck_at(), None);
        let states: Vec<_> = roster.members().into_iter().map(|member| member.state).collect();
        assert!(states.contains(&MemberState::Refused(PeerRefusal::OwnId)), "{states:?}");
    }

    #[test]
    fn of_two_members_with_one_id_the_younger_is_in_conflict_even_under_one_name() {
        let (mut older, mut younger) = (roster(), Roster::new(("me", 200, addr(2)), announcement(1), GRACE));
        let now = Instant::now();
        let (first, second) = (seen("me", 100, 1, 1), seen("me", 200, 2, 1));
        older.update(now, std::slice::from_ref(&second));
        younger.update(now, std::slice::from_ref(&first));
        assert_eq!(older.update(now + GRACE, &[second]), [refuse("me", 2, PeerRefusal::OwnId)]);
        let conflict = Step::Conflict { name: "me".into(), id: ReplicaId::new(1), addr: addr(1) };
        assert_eq!(younger.update(now + GRACE, &[first]), [refuse("me", 1, PeerRefusal::OwnId), conflict]);
    }

    #[test]
    fn a_node_that_gave_up_its_id_refuses_the_older_one_that_has_it_still_and_no_younger_one() {
        let (mut roster, now) = (roster(), Instant::now());
        roster.announce(100, announcement(9));
        assert_eq!(roster.update(now, &[seen("younger", 101, 3, 1)]), [up("younger", 1, 3)]);
        let older = [seen("older", 99, 2, 1)];
        roster.update(now, &older);
        let conflict = Step::Conflict { name: "older".into(), id: ReplicaId::new(1), addr: addr(2) };
        assert_eq!(roster.update(now + GRACE, &older), [refuse("older", 2, PeerRefusal::OwnId), conflict]);
    }

    #[test]
    fn a_peer_that_has_taken_another_id_is_another_peer() {
        let (mut roster, now) = (roster(), Instant::now());
        roster.update(now, &[seen("a", 5, 2, 2)]);
        let renamed = roster.update(now, &[seen("a", 5, 2, 3)]);
        assert_eq!(renamed, [gone("a", 2, "it has taken another id"), up("a", 3, 2)]);
    }

    #[test]
    fn a_peer_counts_as_complete_until_it_says_that_it_is_not() {
        let (mut roster, now) = (roster(), Instant::now());
        let mut a = seen("a", 5, 2, 2);
        a.announcement.as_mut().unwrap().ready = false;
        let stands = |standing| Step::Standing { id: ReplicaId::new(2), standing };
        let joining = [up("a", 2, 2), stands(Standing::Joining)];
        assert_eq!(roster.update(now, std::slice::from_ref(&a)), joining, "one that serves nobody keeps nothing");
        a.announcement.as_mut().unwrap().standing = Standing::Incomplete;
        assert_eq!(roster.update(now, std::slice::from_ref(&a)), [stands(Standing::Incomplete)]);
        a.announcement.as_mut().unwrap().ready = true;
        a.announcement.as_mut().unwrap().standing = Standing::Complete;
        assert_eq!(roster.update(now, std::slice::from_ref(&a)), [stands(Standing::Complete)]);
        assert_eq!(roster.update(now, &[a]), []);
    }

    #[test]
    fn the_shadow_of_a_restart_is_not_reported() {
        let (mut roster, now) = (roster(), Instant::now());
        assert_eq!(roster.update(now, &[seen("a", 5, 2, 2), seen("a", 6, 3, 3)]), [up("a", 3, 3)]);
        assert_eq!(roster.update(now + GRACE / 2, &[seen("a", 6, 3, 3)]), []);
        assert_eq!(roster.recheck_at(), None);
    }

    #[test]
    fn two_members_that_stay_under_one_name_are_reported_and_the_newest_is_the_peer() {
        let (mut roster, now) = (roster(), Instant::now());
        let both = [seen("a", 5, 2, 2), seen("a", 6, 3, 3)];
        roster.update(now, &both);
        assert_eq!(roster.update(now + GRACE, &both), [refuse("a", 2, PeerRefusal::DuplicateName)]);
    }

    #[test]
    fn of_two_members_with_one_id_the_first_stays_the_peer() {
        let (mut roster, now) = (roster(), Instant::now());
        roster.update(now, &[seen("b", 5, 3, 2)]);
        let both = [seen("a", 9, 2, 2), seen("b", 5, 3, 2)];
        assert_eq!(roster.update(now, &both), []);
        assert_eq!(roster.update(now + GRACE, &both), [refuse("a", 2, PeerRefusal::DuplicateId)]);
        // The first one dies: the other takes its place.
        assert_eq!(roster.update(now + GRACE, &[seen("a", 9, 2, 2)]), [up("a", 2, 2)]);
    }

    #[test]
    fn other_limits_or_another_protocol_are_refused_at_once() {
        let (mut roster, now) = (roster(), Instant::now());
        let (mut a, mut b) = (seen("a", 5, 2, 2), seen("b", 5, 3, 3));
        roster.update(now, &[a.clone()]);
        a.announcement.as_mut().unwrap().limits = "value=1".into();
        b.announcement.as_mut().unwrap().protocol = "77".into();
        assert_eq!(
            roster.update(now, &[a, b]),
            [
                gone("a", 2, "it is refused"),
                refuse("a", 2, PeerRefusal::Limits { theirs: "value=1".into() }),
                refuse("b", 3, PeerRefusal::Protocol { theirs: "77".into() }),
            ]
        );
    }

    #[test]
    fn an_incomplete_announcement_is_waited_for() {
        let (mut roster, now) = (roster(), Instant::now());
        let mut a = seen("a", 5, 2, 2);
        a.announcement = Err(Unreadable::Incomplete);
        assert_eq!(roster.update(now, &[a]), []);
        assert_eq!(roster.members().len(), 1);
    }

    #[test]
    fn a_member_that_is_down_is_forgotten_by_name_or_id_and_one_that_is_alive_is_not() {
        let (mut roster, now) = (roster(), Instant::now());
        roster.update(now, &[seen("a", 5, 2, 2), seen("b", 5, 3, 3), seen("c", 5, 4, 4)]);
        roster.update(now, &[seen("c", 5, 4, 4)]);
        let mut steps = Vec::new();
        assert_eq!(roster.forget_by_order("a", &mut steps), Ok(vec![ReplicaId::new(2)]));
        assert_eq!(roster.forget_by_order("0000000000000003", &mut steps), Ok(vec![ReplicaId::new(3)]));
        assert_eq!(steps, [gone("a", 2, BY_ORDER), gone("b", 3, BY_ORDER)]);
        assert_eq!(roster.forget_by_order("a", &mut steps), Ok(vec![]), "it is forgotten already");
        let alive = ForgetError::Alive { name: "c".into(), id: ReplicaId::new(4), addr: addr(4) };
        assert_eq!(roster.forget_by_order("c", &mut steps), Err(alive));
        assert_eq!(roster.forget_by_order("me", &mut steps), Err(ForgetError::OwnNode));
        assert_eq!(roster.update(now, &[seen("a", 5, 2, 2), seen("c", 5, 4, 4)]), [up("a", 2, 2)], "it may come back");
    }

    #[test]
    fn an_order_to_forget_is_followed_once_whenever_its_member_is_down_here() {
        let (mut roster, now) = (roster(), Instant::now());
        let dead = seen("dead", 5, 2, 2);
        let mut teller = seen("teller", 5, 3, 3);
        roster.update(now, &[dead.clone(), teller.clone()]);
        teller.announcement.as_mut().unwrap().forgotten = vec![Forgotten { number: 1, id: ReplicaId::new(2) }];
        assert_eq!(roster.update(now, &[dead.clone(), teller.clone()]), [], "here it has not been found dead yet");
        let found = roster.update(now, std::slice::from_ref(&teller));
        assert_eq!(found, [down("dead", 2), gone("dead", 2, BY_ORDER)]);
        // Back, and dead again before the order is withdrawn.
        roster.update(now, &[dead, teller.clone()]);
        assert_eq!(roster.update(now, &[teller]), [down("dead", 2)]);
    }

    #[test]
    fn past_the_bound_the_member_longest_away_is_forgotten() {
        let (mut roster, start) = (roster(), Instant::now());
        for n in 0..=u16::try_from(DOWN_MAX).unwrap() {
            let now = start + Duration::from_secs(n.into());
            roster.update(now, &[seen(&format!("m{n}"), 1, 2, u64::from(n) + 2)]);
            let steps = roster.update(now, &[]);
            if usize::from(n) == DOWN_MAX {
                assert!(steps.contains(&gone("m0", 2, "too many members are down")), "{steps:?}");
            } else {
                assert_eq!(steps.len(), 1);
            }
        }
        assert_eq!(roster.down.len(), DOWN_MAX);
        let much_later = start + DOWN_AGE_MAX + Duration::from_secs(DOWN_MAX as u64 + 1);
        assert_eq!(roster.update(much_later, &[]).len(), DOWN_MAX);
        assert!(roster.down.is_empty());
    }
}
