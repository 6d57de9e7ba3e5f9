//! Which members are peers: the rules, apart from sockets and gossip.
//!
//! Chitchat says who is alive under which name, incarnation and address, and what each announces; probes say who answers
//! where it announced to be. The roster turns successive such views into steps for the engine (a peer is up, down, gone)
//! and into refusals, so that
//!
//! - a member is a replica id: names are labels for people. Two live members of one name are both peers, and told of;
//! - one replica id is at most one peer, at one address;
//! - a live peer is one that has answered at the address it announced. A member that chitchat holds to be alive and that
//!   does not answer there is *unreachable*, visibly;
//! - a member that announces our own id (or, being older, one that we had to give up), other limits or another protocol is no peer, visibly;
//! - a peer that left said so and is forgotten, as is one at whose address another member of its name answers now, and an
//!   id that its process has given up for another. Any other that vanished stays known, for it may be back in days.
//!
//! # A name that is taken over
//!
//! | the old incarnation | what becomes of its id |
//! | --- | --- |
//! | is alive and answers | a peer like any other; both are told of |
//! | was at the address at which the new one answers | gone: no other can be there |
//! | said that it leaves | gone |
//! | is silent | down, and called upon, for [`REPLACED_AGE_MAX`]; of one name the last [`REPLACED_MAX`] |
//! | comes back after that | a peer, through its own calls: it has us among its members that are down for 30 days |
//!
//! It refuses to know how anything is sent; time comes in as an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use cahoots_crdt::ReplicaId;

use super::announcement::{Announcement, Unreadable};
use super::member::{BrokenPath, ForgetError, Member, MemberState, PeerRefusal, Streams};
use super::namesakes::Namesakes;
use crate::engine::Stance;

/// Members that went down and are kept for their return. One costs about 200 bytes and, at a low rate, datagrams to
/// where it was.
pub const DOWN_MAX: usize = 1024;

/// How long a member that went down is kept. One that is away for longer comes back through its own seeds.
const DOWN_AGE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// How long a member is kept that went down and whose name another live one has. Mostly it is a process that was killed
/// and started again elsewhere, and will never be back. A day is as long as ballots of owners unknown are kept, and
/// covers a machine that was cut off over a night.
const REPLACED_AGE_MAX: Duration = Duration::from_secs(24 * 3600);

/// Why a member is gone that an operator had forgotten.
pub(in crate::driver) const BY_ORDER: &str = "it was ordered to be forgotten";

/// Members of one name that are kept so, the last ones. A hundred restarts of a pod, each under a new id at a new address,
/// leave so many ids to be called upon.
const REPLACED_MAX: usize = 4;

/// For so long the address of a member that left is called upon: mostly it is started again there, and if it has no seeds,
/// or these are being restarted as well, nobody else would tell it that it is not the first.
const LEFT_TIME: Duration = Duration::from_secs(30);

/// Such addresses, the last ones: a rolling restart has one at a time.
const LEFT_MAX: usize = 16;

/// A live member as chitchat shows it.
#[derive(Clone, Debug)]
pub(in crate::driver) struct Seen {
    pub(in crate::driver) name: String,
    pub(in crate::driver) incarnation: u64,
    pub(in crate::driver) addr: SocketAddr,
    pub(in crate::driver) announcement: Result<Announcement, Unreadable>,
}

/// Whether a member answers at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::driver) enum Reached {
    /// It has answered again and again between these times, and still counts as answering.
    Yes { first: Instant, last: Instant },
    /// It is being asked.
    Trying,
    /// It has not answered for too long.
    No(BrokenPath),
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
    /// A member is alive and does not answer where it says it is; it is no live peer until it does.
    Unreachable {
        name: String,
        id: ReplicaId,
        addr: SocketAddr,
        path: BrokenPath,
    },
    /// A peer now stands otherwise; when it comes up it counts as complete.
    Standing {
        id: ReplicaId,
        stance: Stance,
    },
    Refuse {
        name: String,
        addr: SocketAddr,
        refusal: PeerRefusal,
    },
    /// Several live members, this node perhaps among them, go by one name.
    Shared {
        name: String,
        members: Vec<(ReplicaId, SocketAddr)>,
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
    known: BTreeMap<ReplicaId, Known>,
    /// Orders of peers to forget a member that were followed: name and incarnation of the peer, and the number.
    heeded: BTreeSet<(String, u64, u64)>,
    /// Where members were that left, and when they did.
    left: Vec<(SocketAddr, Instant)>,
    namesakes: Namesakes,
    refused: BTreeMap<(String, u64, SocketAddr), Refused>,
}

/// A member that is, was or may become a peer.
struct Known {
    member: Member,
    contact: Contact,
}

enum Contact {
    /// A live peer, which the engine reaches at this address.
    Up { at: SocketAddr },
    /// Alive, and does not answer where it announces to be.
    Unreachable {
        since: Instant,
        told: Option<BrokenPath>,
        /// It has been a peer, which the engine holds to be down.
        met: bool,
    },
    /// Was a peer.
    Down { since: Instant },
}

struct Refused {
    member: Member,
    refusal: PeerRefusal,
    since: Instant,
    told: bool,
}

/// What a view says of a member.
enum Fate {
    /// It answers.
    Answers(Member),
    /// It is being asked.
    Asked(Member),
    /// It does not answer.
    Silent(Member, BrokenPath),
    /// It announces an address at which another member answers.
    Displaced(Member),
    /// It is not alive.
    Absent,
    /// It will not be back.
    Gone(&'static str),
}

impl Roster {
    pub(in crate::driver) fn new(me: (&str, u64, SocketAddr), announced: Announcement, grace: Duration) -> Self {
        let me = member((me.0, me.1, me.2), &announced, MemberState::Live, true);
        let (former, known, heeded, left, refused) = Default::default();
        Self { me, announced, former, grace, known, heeded, left, namesakes: Namesakes::default(), refused }
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

    /// Everybody: this node, peers, those that do not answer or went down, those refused.
    pub(in crate::driver) fn members(&self) -> Vec<Member> {
        let of = |rank| self.known.values().filter(move |known| known.rank() == rank).map(|known| &known.member);
        let known = of(Some(0)).chain(of(Some(1))).chain(of(Some(2)));
        let refused = self.refused.values().map(|refused| &refused.member);
        let mut members: Vec<_> = [&self.me].into_iter().chain(known).chain(refused).cloned().collect();
        for member in members.iter_mut().filter(|member| member.state == MemberState::Live) {
            member.namesakes = self.namesakes.of(&member.name, member.id);
        }
        members
    }

    /// Those to be asked whether they answer, and where.
    pub(in crate::driver) fn to_probe(&self) -> impl Iterator<Item = (ReplicaId, SocketAddr)> {
        let alive = self.known.iter().filter(|(_, known)| !matches!(known.contact, Contact::Down { .. }));
        // At our own address there is no node but this one.
        alive.map(|(id, known)| (*id, known.member.addr)).filter(|(_, addr)| *addr != self.me.addr)
    }

    /// Where the members that went down were last.
    pub(in crate::driver) fn down_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let down = self.known.values().filter(|known| matches!(known.contact, Contact::Down { .. }));
        down.map(|known| known.member.addr)
    }

    /// Whether some member has left a moment ago.
    pub(in crate::driver) fn has_left(&self) -> bool {
        !self.left.is_empty()
    }

    /// Where members were that left a moment ago.
    pub(in crate::driver) fn left_addresses(&mut self, now: Instant) -> Vec<SocketAddr> {
        self.left.retain(|(_, at)| now.duration_since(*at) < LEFT_TIME);
        self.left.drain(..self.left.len().saturating_sub(LEFT_MAX));
        self.left.iter().map(|(addr, _)| *addr).collect()
    }

    /// Where the peers are.
    pub(in crate::driver) fn up_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.up().map(|(_, known)| known.member.addr)
    }

    /// Whether there are peers, and every member that is alive is one.
    pub(in crate::driver) fn is_settled(&self) -> bool {
        let mut alive = self.known.values().filter(|known| !known.is_down()).peekable();
        alive.peek().is_some() && alive.all(Known::is_up)
    }

    fn up(&self) -> impl Iterator<Item = (&ReplicaId, &Known)> {
        self.known.iter().filter(|(_, known)| known.is_up())
    }

    /// When the same view would give other steps.
    pub(in crate::driver) fn recheck_at(&self) -> Option<Instant> {
        let refused = self.refused.values().filter(|refused| !refused.told).map(|refused| refused.since + self.grace);
        let displaced = self.known.values().filter(|known| known.is_maybe_a_shadow());
        let displaced = displaced.filter_map(Known::unreachable_since).map(|since| since + self.grace);
        refused.chain(displaced).chain(self.namesakes.recheck_at(self.grace)).min()
    }

    /// Works out what a view of the live members, this node left out, changes. `reached` says who answers where.
    pub(in crate::driver) fn update(
        &mut self,
        now: Instant,
        seen: &[Seen],
        reached: impl Fn(ReplicaId, SocketAddr) -> Reached,
    ) -> Vec<Step> {
        let verdict = self.judge(seen, &reached);
        let ids: BTreeSet<ReplicaId> = self.known.keys().chain(verdict.candidates.keys()).copied().collect();
        let (answering, others): (Vec<_>, Vec<_>) =
            ids.into_iter().map(|id| (id, self.fate(id, &verdict))).partition(|(_, it)| matches!(it, Fate::Answers(_)));
        let mut steps = Vec::new();
        for (id, fate) in others.into_iter().chain(answering) {
            self.settle(now, id, fate, &mut steps);
        }
        self.forget_old(now, &mut steps);
        let up = self.known.values().filter(|known| known.is_up()).map(|known| &known.member);
        steps.extend(self.namesakes.update(now, self.grace, up.chain([&self.me])));
        self.refuse(now, verdict.refused, &mut steps);
        self.heed(seen, &mut steps);
        steps
    }

    /// Whether this replica is a peer that is up.
    pub(in crate::driver) fn is_up(&self, id: ReplicaId) -> bool {
        self.known.get(&id).is_some_and(Known::is_up)
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
        let down = self.known.values().filter(|known| known.is_down() && goes_by(&known.member));
        let down: Vec<_> = down.map(|known| known.member.id).collect();
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
            if !self.is_up(id) && self.heeded.insert(order) && self.known.get(&id).is_some_and(Known::is_down) {
                self.forget(id, BY_ORDER, steps);
            }
        }
    }

    fn forget(&mut self, id: ReplicaId, why: &'static str, steps: &mut Vec<Step>) {
        if let Some(known) = self.known.remove(&id) {
            steps.push(Step::Gone { name: known.member.name, id, why });
        }
    }

    /// Sorts the live members into candidates, leavers and refused ones.
    fn judge(&self, seen: &[Seen], reached: &impl Fn(ReplicaId, SocketAddr) -> Reached) -> Verdict {
        let mut verdict = Verdict::default();
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
        verdict.reached =
            verdict.candidates.iter().map(|(id, candidate)| (*id, reached(*id, candidate.addr))).collect();
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
        let Some(other) = verdict.candidates.get(&id) else {
            verdict.candidates.insert(id, new);
            return;
        };
        let ours = self.known.get(&id).filter(|known| known.is_up()).map(|up| up.member.name.as_str());
        let rank = |member: &Member| (Some(member.name.as_str()) == ours, member.incarnation, member.addr);
        let loser = if rank(&new) > rank(other) {
            verdict.candidates.insert(id, new).expect("it was just looked at")
        } else {
            new
        };
        verdict.refused.push((loser, PeerRefusal::DuplicateId));
    }

    /// What the view says of a member that is known, or a candidate.
    fn fate(&self, id: ReplicaId, verdict: &Verdict) -> Fate {
        if let Some(candidate) = verdict.candidates.get(&id) {
            let candidate = candidate.clone();
            let reached = verdict.reached[&id];
            return match verdict.holder(&self.me, id, candidate.addr, reached) {
                Some(holder) if holder.name == candidate.name && self.known.get(&id).is_some_and(Known::was_peer) => {
                    Fate::Gone(DISPLACED)
                }
                Some(_) => Fate::Displaced(candidate),
                None => match reached {
                    Reached::Yes { .. } => Fate::Answers(candidate),
                    Reached::Trying => Fate::Asked(candidate),
                    Reached::No(path) => Fate::Silent(candidate, path),
                },
            };
        }
        let Some(Known { member: former, .. }) = self.known.get(&id) else { return Fate::Absent };
        let process = |member: &Member| (member.incarnation, member.addr);
        if verdict.left.contains(&id) {
            Fate::Gone(LEFT)
        } else if verdict.candidates.values().any(|it| it.name == former.name && process(it) == process(former)) {
            Fate::Gone("it has taken another id")
        } else if verdict.refused.iter().any(|(member, _)| member.id == id) {
            Fate::Gone("it is refused")
        } else if verdict.answering(&self.me).any(|it| it.name == former.name && it.addr == former.addr) {
            Fate::Gone(DISPLACED)
        } else {
            Fate::Absent
        }
    }

    /// Brings what is known of a member in line with the view.
    fn settle(&mut self, now: Instant, id: ReplicaId, fate: Fate, steps: &mut Vec<Step>) {
        let known = self.known.remove(&id);
        let stood = known.as_ref().filter(|known| known.is_up());
        let stood = stood.map(|known| known.member.relied_on_as()).unwrap_or_default();
        let (member, contact) = match fate {
            Fate::Answers(member) => {
                if let Some(Known { member: former, .. }) = known.as_ref().filter(|it| it.member.name != member.name) {
                    tracing::info!(%id, from = former.name, to = member.name, "a replica goes by another name now");
                }
                let at = member.addr;
                let is_news =
                    known.as_ref().is_none_or(|known| !known.is_up_at(at) || known.member.zone != member.zone);
                if is_news {
                    steps.push(Step::Up { name: member.name.clone(), id, addr: at, zone: member.zone.clone() });
                }
                (member, Contact::Up { at })
            }
            // Until it has answered at a new address, or has not, it is where it was.
            Fate::Asked(member) if known.as_ref().is_some_and(Known::is_up) => {
                (member, known.expect("it was just looked at").contact)
            }
            Fate::Asked(member) => unreachable(now, known.as_ref(), member, BrokenPath::Untried, false, steps),
            Fate::Silent(member, path) => unreachable(now, known.as_ref(), member, path, true, steps),
            Fate::Displaced(member) => {
                let since = known.as_ref().and_then(Known::unreachable_since).unwrap_or(now);
                let stays = now.duration_since(since) >= self.grace;
                unreachable(now, known.as_ref(), member, BrokenPath::Displaced, stays, steps)
            }
            Fate::Absent => match known {
                Some(Known { mut member, contact }) if !matches!(contact, Contact::Unreachable { met: false, .. }) => {
                    let since = match contact {
                        Contact::Down { since } => since,
                        _ => {
                            steps.push(Step::Down { name: member.name.clone(), id });
                            now
                        }
                    };
                    member.state = MemberState::Down;
                    (member, Contact::Down { since })
                }
                // Announced once, and never met.
                _ => return,
            },
            Fate::Gone(why) => {
                if let Some(known) = known.filter(Known::was_peer) {
                    if why == LEFT {
                        self.left.push((known.member.addr, now));
                    }
                    steps.push(Step::Gone { name: known.member.name, id, why });
                }
                return;
            }
        };
        let stance = member.relied_on_as();
        if matches!(contact, Contact::Up { .. }) && stood != stance {
            steps.push(Step::Standing { id, stance });
        }
        self.known.insert(id, Known { member, contact });
    }

    /// Forgets who has been down for too long, and the oldest where there are too many.
    fn forget_old(&mut self, now: Instant, steps: &mut Vec<Step>) {
        let live: BTreeSet<String> =
            self.up().map(|(_, known)| &known.member).chain([&self.me]).map(|member| member.name.clone()).collect();
        let mut down: Vec<(Instant, ReplicaId, String)> = self
            .known
            .iter()
            .filter_map(|(id, known)| match known.contact {
                Contact::Down { since } => Some((since, *id, known.member.name.clone())),
                _ => None,
            })
            .collect();
        // The last ones first.
        down.sort_unstable_by(|a, b| b.cmp(a));
        let mut replaced: BTreeMap<String, usize> = BTreeMap::new();
        let mut kept = 0;
        for (since, id, name) in down {
            let away = now.duration_since(since);
            let why = if live.contains(&name) {
                let count = replaced.entry(name).or_default();
                *count += 1;
                if away >= REPLACED_AGE_MAX {
                    Some("its name is another's, and it was away too long")
                } else {
                    (*count > REPLACED_MAX).then_some("its name is another's, and newer ones of it are down, too")
                }
            } else {
                (away >= DOWN_AGE_MAX).then_some("it was away too long")
            };
            let why = why.or_else(|| (kept == DOWN_MAX).then_some("too many members are down"));
            match why {
                None => kept += 1,
                Some(why) => self.forget(id, why, steps),
            }
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

/// Why a member is gone that said so.
const LEFT: &str = "it left";

/// Why a member is gone at whose address another of its name answers.
const DISPLACED: &str = "a new incarnation replaced it";

impl Known {
    fn is_up(&self) -> bool {
        matches!(self.contact, Contact::Up { .. })
    }

    fn is_down(&self) -> bool {
        matches!(self.contact, Contact::Down { .. })
    }

    fn is_up_at(&self, addr: SocketAddr) -> bool {
        matches!(self.contact, Contact::Up { at } if at == addr)
    }

    /// Whether the engine has heard of it.
    fn was_peer(&self) -> bool {
        !matches!(self.contact, Contact::Unreachable { met: false, .. })
    }

    fn unreachable_since(&self) -> Option<Instant> {
        match self.contact {
            Contact::Unreachable { since, .. } => Some(since),
            _ => None,
        }
    }

    /// Whether it may be the shadow of what was at its address before a restart.
    fn is_maybe_a_shadow(&self) -> bool {
        const DISPLACED: MemberState = MemberState::Unreachable(BrokenPath::Displaced);
        let is_told = matches!(self.contact, Contact::Unreachable { told: Some(BrokenPath::Displaced), .. });
        self.member.state == DISPLACED && !is_told
    }

    /// Where it is shown, if it is.
    fn rank(&self) -> Option<u8> {
        match self.contact {
            Contact::Up { .. } => Some(0),
            Contact::Unreachable { met: false, .. } if self.is_maybe_a_shadow() => None,
            Contact::Unreachable { .. } => Some(1),
            Contact::Down { .. } => Some(2),
        }
    }
}

/// How a member stands that does not answer; told if it is to be.
fn unreachable(
    now: Instant,
    known: Option<&Known>,
    mut member: Member,
    path: BrokenPath,
    tell: bool,
    steps: &mut Vec<Step>,
) -> (Member, Contact) {
    let met = known.is_some_and(Known::was_peer);
    let was_up = known.is_some_and(Known::is_up);
    let (since, mut told) = match known {
        Some(Known { contact: Contact::Unreachable { since, told, .. }, .. }) => (*since, *told),
        _ => (now, None),
    };
    if tell && told != Some(path) {
        told = Some(path);
        let (name, id, addr) = (member.name.clone(), member.id, member.addr);
        steps.push(Step::Unreachable { name, id, addr, path });
    } else if was_up {
        steps.push(Step::Down { name: member.name.clone(), id: member.id });
    }
    member.state = MemberState::Unreachable(path);
    (member, Contact::Unreachable { since, told, met })
}

#[derive(Default)]
struct Verdict {
    /// The live members that may be peers.
    candidates: BTreeMap<ReplicaId, Member>,
    /// Whether they answer.
    reached: BTreeMap<ReplicaId, Reached>,
    left: BTreeSet<ReplicaId>,
    refused: Vec<(Member, PeerRefusal)>,
}

impl Verdict {
    fn refuse(&mut self, origin: (&str, u64, SocketAddr), announcement: &Announcement, refusal: PeerRefusal) {
        self.refused.push((member(origin, announcement, MemberState::Refused(refusal.clone()), false), refusal));
    }

    /// Who answers where it announces to be, this node included.
    fn answering<'a>(&'a self, me: &'a Member) -> impl Iterator<Item = &'a Member> {
        let answers = |id: &ReplicaId| matches!(self.reached[id], Reached::Yes { .. });
        self.candidates.iter().filter(move |(id, _)| answers(id)).map(|(_, it)| it).chain([me])
    }

    /// Who else has the address of a candidate: this node, or a member that began to answer there after the candidate had
    /// answered last. Incarnations do not tell, for clocks are set back.
    fn holder<'a>(&'a self, me: &'a Member, id: ReplicaId, addr: SocketAddr, reached: Reached) -> Option<&'a Member> {
        if me.addr == addr {
            return Some(me);
        }
        let since = match reached {
            Reached::Yes { last, .. } => Some(last),
            _ => None,
        };
        let others = self.candidates.iter().filter(|(other, member)| **other != id && member.addr == addr);
        let mut holders = others.filter(|(other, _)| match self.reached[other] {
            Reached::Yes { first, .. } => since.is_none_or(|since| first > since),
            _ => false,
        });
        holders.next().map(|(_, member)| member)
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
        stance: of.stance.clone(),
        streams: Streams::Untried,
        namesakes: Vec::new(),
    }
}

#[cfg(test)]
mod model;

#[cfg(test)]
mod tests {
    use super::super::announcement::Forgotten;
    use super::*;
    use crate::Limits;
    use crate::engine::Standing;

    const GRACE: Duration = Duration::from_secs(8);

    fn announcement(id: u64) -> Announcement {
        Announcement::new(ReplicaId::new(id), &Limits::default(), None, None)
    }

    /// A view in which all answer.
    fn see(roster: &mut Roster, now: Instant, seen: &[Seen]) -> Vec<Step> {
        roster.update(now, seen, |_, _| Reached::Yes { first: now, last: now })
    }

    /// A view in which these ids answer since then, and others do not.
    fn see_answering(roster: &mut Roster, now: Instant, seen: &[Seen], who: &[(u64, Instant)]) -> Vec<Step> {
        roster.update(now, seen, |id, _| match who.iter().find(|(it, _)| ReplicaId::new(*it) == id) {
            Some((_, first)) => Reached::Yes { first: *first, last: *first },
            None => Reached::No(BrokenPath::FromIt),
        })
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
        assert_eq!(see(&mut roster, now, &[seen("a", 5, 2, 2)]), [up("a", 2, 2)]);
        assert_eq!(see(&mut roster, now, &[seen("a", 5, 2, 2)]), []);
        assert_eq!(see(&mut roster, now, &[]), [down("a", 2)]);
        assert_eq!(roster.down_addresses().collect::<Vec<_>>(), [addr(2)]);
        assert_eq!(see(&mut roster, now, &[]), []);
        assert_eq!(see(&mut roster, now, &[seen("a", 6, 3, 2)]), [up("a", 2, 3)]);
        assert_eq!(roster.down_addresses().count(), 0);
    }

    #[test]
    fn a_restart_under_the_same_id_never_takes_the_peer_away() {
        let (mut roster, now) = (roster(), Instant::now());
        see(&mut roster, now, &[seen("a", 5, 2, 2)]);
        assert_eq!(see(&mut roster, now, &[seen("a", 5, 2, 2), seen("a", 6, 3, 2)]), [up("a", 2, 3)]);
        assert_eq!(see(&mut roster, now, &[seen("a", 6, 3, 2)]), []);
    }

    #[test]
    fn a_leaver_is_gone_for_good() {
        let (mut roster, now) = (roster(), Instant::now());
        let mut a = seen("a", 5, 2, 2);
        see(&mut roster, now, std::slice::from_ref(&a));
        a.announcement.as_mut().unwrap().leaving = true;
        assert_eq!(see(&mut roster, now, &[a]), [gone("a", 2, "it left")]);
        assert_eq!(roster.left_addresses(now), [addr(2)], "it may be started again there");
        assert_eq!(roster.left_addresses(now + LEFT_TIME), []);
        assert_eq!(see(&mut roster, now, &[]), []);
        assert_eq!(roster.members().len(), 1);
    }

    #[test]
    fn a_member_with_our_id_is_never_a_peer_and_told_once_when_it_stays() {
        let (mut roster, now) = (roster(), Instant::now());
        let clones = [seen("b", 5, 2, 1)];
        assert_eq!(see(&mut roster, now, &clones), []);
        assert_eq!(roster.recheck_at(), Some(now + GRACE));
        let told = see(&mut roster, now + GRACE, &clones);
        let conflict = Step::Conflict { name: "b".into(), id: ReplicaId::new(1), addr: addr(2) };
        assert_eq!(told, [refuse("b", 2, PeerRefusal::OwnId), conflict]);
        assert_eq!(see(&mut roster, now + GRACE * 2, &clones), []);
        assert_eq!(roster.recheck_at(), None);
        let states: Vec<_> = roster.members().into_iter().map(|member| member.state).collect();
        assert!(states.contains(&MemberState::Refused(PeerRefusal::OwnId)), "{states:?}");
    }

    #[test]
    fn of_two_members_with_one_id_the_younger_is_in_conflict_even_under_one_name() {
        let (mut older, mut younger) = (roster(), Roster::new(("me", 200, addr(2)), announcement(1), GRACE));
        let now = Instant::now();
        let (first, second) = (seen("me", 100, 1, 1), seen("me", 200, 2, 1));
        see(&mut older, now, std::slice::from_ref(&second));
        see(&mut younger, now, std::slice::from_ref(&first));
        assert_eq!(see(&mut older, now + GRACE, &[second]), [refuse("me", 2, PeerRefusal::OwnId)]);
        let conflict = Step::Conflict { name: "me".into(), id: ReplicaId::new(1), addr: addr(1) };
        assert_eq!(see(&mut younger, now + GRACE, &[first]), [refuse("me", 1, PeerRefusal::OwnId), conflict]);
    }

    #[test]
    fn a_node_that_gave_up_its_id_refuses_the_older_one_that_has_it_still_and_no_younger_one() {
        let (mut roster, now) = (roster(), Instant::now());
        roster.announce(100, announcement(9));
        assert_eq!(see(&mut roster, now, &[seen("younger", 101, 3, 1)]), [up("younger", 1, 3)]);
        let older = [seen("older", 99, 2, 1)];
        see(&mut roster, now, &older);
        let conflict = Step::Conflict { name: "older".into(), id: ReplicaId::new(1), addr: addr(2) };
        assert_eq!(see(&mut roster, now + GRACE, &older), [refuse("older", 2, PeerRefusal::OwnId), conflict]);
    }

    #[test]
    fn a_peer_that_has_taken_another_id_is_another_peer() {
        let (mut roster, now) = (roster(), Instant::now());
        see(&mut roster, now, &[seen("a", 5, 2, 2)]);
        let renamed = see(&mut roster, now, &[seen("a", 5, 2, 3)]);
        assert_eq!(renamed, [gone("a", 2, "it has taken another id"), up("a", 3, 2)]);
    }

    #[test]
    fn a_peer_counts_as_complete_until_it_says_that_it_is_not() {
        let (mut roster, now) = (roster(), Instant::now());
        let mut a = seen("a", 5, 2, 2);
        a.announcement.as_mut().unwrap().ready = false;
        let stands =
            |standing| Step::Standing { id: ReplicaId::new(2), stance: Stance { standing, ..Stance::default() } };
        let joining = [up("a", 2, 2), stands(Standing::Joining)];
        assert_eq!(see(&mut roster, now, std::slice::from_ref(&a)), joining, "one that serves nobody keeps nothing");
        a.announcement.as_mut().unwrap().stance.standing = Standing::Incomplete;
        assert_eq!(see(&mut roster, now, std::slice::from_ref(&a)), [stands(Standing::Incomplete)]);
        a.announcement.as_mut().unwrap().ready = true;
        a.announcement.as_mut().unwrap().stance.standing = Standing::Complete;
        assert_eq!(see(&mut roster, now, std::slice::from_ref(&a)), [stands(Standing::Complete)]);
        assert_eq!(see(&mut roster, now, &[a]), []);
    }

    #[test]
    fn of_two_members_with_one_id_the_first_stays_the_peer() {
        let (mut roster, now) = (roster(), Instant::now());
        see(&mut roster, now, &[seen("b", 5, 3, 2)]);
        let both = [seen("a", 9, 2, 2), seen("b", 5, 3, 2)];
        assert_eq!(see(&mut roster, now, &both), []);
        assert_eq!(see(&mut roster, now + GRACE, &both), [refuse("a", 2, PeerRefusal::DuplicateId)]);
        // The first one dies: the other takes its place.
        assert_eq!(see(&mut roster, now + GRACE, &[seen("a", 9, 2, 2)]), [up("a", 2, 2)]);
    }

    #[test]
    fn other_limits_or_another_protocol_are_refused_at_once() {
        let (mut roster, now) = (roster(), Instant::now());
        let (mut a, mut b) = (seen("a", 5, 2, 2), seen("b", 5, 3, 3));
        see(&mut roster, now, &[a.clone()]);
        a.announcement.as_mut().unwrap().limits = "value=1".into();
        b.announcement.as_mut().unwrap().protocol = "77".into();
        assert_eq!(
            see(&mut roster, now, &[a, b]),
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
        assert_eq!(see(&mut roster, now, &[a]), []);
        assert_eq!(roster.members().len(), 1);
    }

    #[test]
    fn a_member_that_is_down_is_forgotten_by_name_or_id_and_one_that_is_alive_is_not() {
        let (mut roster, now) = (roster(), Instant::now());
        see(&mut roster, now, &[seen("a", 5, 2, 2), seen("b", 5, 3, 3), seen("c", 5, 4, 4)]);
        see(&mut roster, now, &[seen("c", 5, 4, 4)]);
        let mut steps = Vec::new();
        assert_eq!(roster.forget_by_order("a", &mut steps), Ok(vec![ReplicaId::new(2)]));
        assert_eq!(roster.forget_by_order("0000000000000003", &mut steps), Ok(vec![ReplicaId::new(3)]));
        assert_eq!(steps, [gone("a", 2, BY_ORDER), gone("b", 3, BY_ORDER)]);
        assert_eq!(roster.forget_by_order("a", &mut steps), Ok(vec![]), "it is forgotten already");
        let alive = ForgetError::Alive { name: "c".into(), id: ReplicaId::new(4), addr: addr(4) };
        assert_eq!(roster.forget_by_order("c", &mut steps), Err(alive));
        assert_eq!(roster.forget_by_order("me", &mut steps), Err(ForgetError::OwnNode));
        assert_eq!(
            see(&mut roster, now, &[seen("a", 5, 2, 2), seen("c", 5, 4, 4)]),
            [up("a", 2, 2)],
            "it may come back"
        );
    }

    #[test]
    fn an_order_to_forget_is_followed_once_whenever_its_member_is_down_here() {
        let (mut roster, now) = (roster(), Instant::now());
        let dead = seen("dead", 5, 2, 2);
        let mut teller = seen("teller", 5, 3, 3);
        see(&mut roster, now, &[dead.clone(), teller.clone()]);
        teller.announcement.as_mut().unwrap().forgotten = vec![Forgotten { number: 1, id: ReplicaId::new(2) }];
        assert_eq!(see(&mut roster, now, &[dead.clone(), teller.clone()]), [], "here it has not been found dead yet");
        let found = see(&mut roster, now, std::slice::from_ref(&teller));
        assert_eq!(found, [down("dead", 2), gone("dead", 2, BY_ORDER)]);
        // Back, and dead again before the order is withdrawn.
        see(&mut roster, now, &[dead, teller.clone()]);
        assert_eq!(see(&mut roster, now, &[teller]), [down("dead", 2)]);
    }

    #[test]
    fn past_the_bound_the_member_longest_away_is_forgotten() {
        let (mut roster, start) = (roster(), Instant::now());
        for n in 0..=u16::try_from(DOWN_MAX).unwrap() {
            let now = start + Duration::from_secs(n.into());
            see(&mut roster, now, &[seen(&format!("m{n}"), 1, 2, u64::from(n) + 2)]);
            let steps = see(&mut roster, now, &[]);
            if usize::from(n) == DOWN_MAX {
                assert!(steps.contains(&gone("m0", 2, "too many members are down")), "{steps:?}");
            } else {
                assert_eq!(steps.len(), 1);
            }
        }
        assert_eq!(roster.down_addresses().count(), DOWN_MAX);
        let much_later = start + DOWN_AGE_MAX + Duration::from_secs(DOWN_MAX as u64 + 1);
        assert_eq!(see(&mut roster, much_later, &[]).len(), DOWN_MAX);
        assert_eq!(roster.down_addresses().count(), 0);
    }

    fn shared(name: &str, members: &[(u64, u16)]) -> Step {
        let members = members.iter().map(|(id, port)| (ReplicaId::new(*id), addr(*port))).collect();
        Step::Shared { name: name.into(), members }
    }

    fn unreachable(name: &str, id: u64, port: u16, path: BrokenPath) -> Step {
        Step::Unreachable { name: name.into(), id: ReplicaId::new(id), addr: addr(port), path }
    }

    const REPLACED: &str = "a new incarnation replaced it";

    #[test]
    fn two_live_members_of_one_name_are_both_peers_and_told_of_once() {
        let (mut roster, now) = (roster(), Instant::now());
        let both = [seen("a", 5, 2, 2), seen("a", 6, 3, 3)];
        assert_eq!(see(&mut roster, now, &both), [up("a", 2, 2), up("a", 3, 3)]);
        assert_eq!(roster.recheck_at(), Some(now + GRACE));
        assert!(roster.members().iter().all(|member| member.namesakes.is_empty()));
        assert_eq!(see(&mut roster, now + GRACE, &both), [shared("a", &[(2, 2), (3, 3)])]);
        assert_eq!(see(&mut roster, now + GRACE * 2, &both), []);
        let shared_with: Vec<_> = roster.members().into_iter().map(|member| member.namesakes).collect();
        assert_eq!(shared_with, [vec![], vec![ReplicaId::new(3)], vec![ReplicaId::new(2)]]);
        let three = [both[0].clone(), both[1].clone(), seen("a", 7, 4, 4)];
        assert_eq!(see(&mut roster, now + GRACE * 2, &three), [up("a", 4, 4)]);
        assert_eq!(see(&mut roster, now + GRACE * 3, &three), [shared("a", &[(2, 2), (3, 3), (4, 4)])]);
        assert_eq!(see(&mut roster, now + GRACE * 3, &both), [down("a", 4)]);
        assert_eq!(roster.recheck_at(), None, "two of three are no news");
    }

    #[test]
    fn a_live_member_of_our_own_name_is_a_peer_and_told_of() {
        let (mut roster, now) = (roster(), Instant::now());
        let namesake = [seen("me", 5, 2, 2)];
        assert_eq!(see(&mut roster, now, &namesake), [up("me", 2, 2)]);
        assert_eq!(see(&mut roster, now + GRACE, &namesake), [shared("me", &[(1, 1), (2, 2)])]);
        assert_eq!(roster.members()[0].namesakes, [ReplicaId::new(2)]);
    }

    #[test]
    fn a_name_that_two_have_for_no_longer_than_a_restart_is_not_told_of() {
        let (mut roster, now) = (roster(), Instant::now());
        see(&mut roster, now, &[seen("a", 5, 2, 2), seen("a", 6, 3, 3)]);
        assert_eq!(see(&mut roster, now + GRACE / 2, &[seen("a", 6, 3, 3)]), [down("a", 2)]);
        assert_eq!(roster.recheck_at(), None);
    }

    #[test]
    fn a_restart_in_place_under_a_new_id_makes_the_old_id_gone_whether_it_was_up_or_down() {
        let (mut roster, now) = (roster(), Instant::now());
        let (second, third) = (now + GRACE, now + GRACE * 2);
        see_answering(&mut roster, now, &[seen("a", 5, 2, 2)], &[(2, now)]);
        let both = [seen("a", 5, 2, 2), seen("a", 6, 2, 3)];
        let steps = see_answering(&mut roster, second, &both, &[(2, now), (3, second)]);
        assert_eq!(steps, [gone("a", 2, REPLACED), up("a", 3, 2)]);
        assert_eq!(roster.members().len(), 2, "the shadow of the old one is not shown");
        assert_eq!(see_answering(&mut roster, second, &[seen("a", 6, 2, 3)], &[(3, second)]), []);
        see(&mut roster, third, &[]);
        let restarted = see_answering(&mut roster, third, &[seen("a", 7, 2, 4)], &[(4, third)]);
        assert_eq!(restarted, [gone("a", 3, REPLACED), up("a", 4, 2)]);
    }

    #[test]
    fn a_restart_in_place_is_one_although_the_clock_was_set_back() {
        let (mut roster, now) = (roster(), Instant::now());
        let second = now + GRACE;
        see_answering(&mut roster, now, &[seen("a", 9, 2, 2)], &[(2, now)]);
        let both = [seen("a", 9, 2, 2), seen("a", 5, 2, 3)];
        let steps = see_answering(&mut roster, second, &both, &[(2, now), (3, second)]);
        assert_eq!(steps, [gone("a", 2, REPLACED), up("a", 3, 2)]);
    }

    #[test]
    fn who_announces_the_address_of_a_peer_does_not_push_it_out() {
        let (mut roster, now) = (roster(), Instant::now());
        let both = [seen("a", 5, 2, 2), seen("a", 6, 2, 3)];
        assert_eq!(see_answering(&mut roster, now, &both, &[(2, now)]), [up("a", 2, 2)]);
        let displaced = unreachable("a", 3, 2, BrokenPath::Displaced);
        assert_eq!(roster.recheck_at(), Some(now + GRACE));
        assert_eq!(see_answering(&mut roster, now + GRACE, &both, &[(2, now)]), [displaced]);
        assert_eq!(roster.recheck_at(), None);
        let ours = [seen("me", 6, 1, 4)];
        see(&mut roster, now + GRACE, &ours);
        let told = see(&mut roster, now + GRACE * 2, &ours);
        assert_eq!(told, [unreachable("me", 4, 1, BrokenPath::Displaced)]);
        assert!(roster.to_probe().all(|(id, _)| id != ReplicaId::new(4)), "at our address there is nobody but us");
    }

    #[test]
    fn a_restart_elsewhere_leaves_the_old_id_down_and_it_comes_back_with_what_it_wrote() {
        let (mut roster, now) = (roster(), Instant::now());
        see(&mut roster, now, &[seen("a", 5, 2, 2)]);
        see(&mut roster, now, &[]);
        assert_eq!(see(&mut roster, now, &[seen("a", 6, 3, 3)]), [up("a", 3, 3)]);
        assert_eq!(roster.down_addresses().collect::<Vec<_>>(), [addr(2)], "it is called upon");
        let both = [seen("a", 5, 2, 2), seen("a", 6, 3, 3)];
        assert_eq!(see(&mut roster, now + GRACE, &both), [up("a", 2, 2)]);
        see(&mut roster, now + GRACE, &[seen("a", 6, 3, 3)]);
        let later = now + GRACE + REPLACED_AGE_MAX;
        let forgotten = gone("a", 2, "its name is another's, and it was away too long");
        assert_eq!(see(&mut roster, later, &[seen("a", 6, 3, 3)]), [forgotten]);
        assert_eq!(see(&mut roster, later, &both), [up("a", 2, 2)], "its own calls bring it back");
    }

    #[test]
    fn a_hundred_restarts_under_new_ids_at_new_addresses_leave_a_few_to_call_upon() {
        let (mut roster, start) = (roster(), Instant::now());
        let mut forgotten = 0;
        for n in 0..100 {
            let now = start + GRACE * n;
            let n = u16::try_from(n).unwrap();
            let steps = see(&mut roster, now, &[seen("a", n.into(), 2 + n, u64::from(n) + 2)]);
            forgotten += steps.iter().filter(|step| matches!(step, Step::Gone { .. })).count();
            assert!(roster.members().len() <= 2 + REPLACED_MAX);
            see(&mut roster, now, &[]);
        }
        assert_eq!(forgotten, 99 - REPLACED_MAX);
        assert_eq!(roster.down_addresses().count(), REPLACED_MAX + 1);
    }

    #[test]
    fn a_member_is_no_peer_before_it_answers_and_unreachable_when_it_does_not() {
        let (mut roster, now) = (roster(), Instant::now());
        let a = [seen("a", 5, 2, 2)];
        assert_eq!(roster.update(now, &a, |_, _| Reached::Trying), []);
        let state = |roster: &Roster| roster.members().last().unwrap().state.clone();
        assert_eq!(state(&roster), MemberState::Unreachable(BrokenPath::Untried));
        assert_eq!(roster.to_probe().collect::<Vec<_>>(), [(ReplicaId::new(2), addr(2))]);
        let silent = |path| move |_, _| Reached::No(path);
        let told = |path| unreachable("a", 2, 2, path);
        assert_eq!(roster.update(now, &a, silent(BrokenPath::FromIt)), [told(BrokenPath::FromIt)]);
        assert_eq!(roster.update(now, &a, silent(BrokenPath::FromIt)), []);
        assert_eq!(roster.update(now, &a, silent(BrokenPath::Large)), [told(BrokenPath::Large)]);
        assert_eq!(state(&roster), MemberState::Unreachable(BrokenPath::Large));
        assert_eq!(roster.up_addresses().count(), 0);
        assert_eq!(see(&mut roster, now, &a), [up("a", 2, 2)]);
        assert_eq!(roster.update(now, &a, silent(BrokenPath::ToIt)), [told(BrokenPath::ToIt)]);
        assert_eq!(see(&mut roster, now, &[]), [down("a", 2)]);
        // Who was never met is no member that went down.
        roster.update(now, &[seen("b", 5, 3, 3)], silent(BrokenPath::FromIt));
        assert_eq!(see(&mut roster, now, &[]), []);
        assert_eq!(roster.down_addresses().collect::<Vec<_>>(), [addr(2)]);
    }

    #[test]
    fn a_peer_that_moves_stays_one_while_it_is_asked_at_its_new_address() {
        let (mut roster, now) = (roster(), Instant::now());
        see(&mut roster, now, &[seen("a", 5, 2, 2)]);
        let moved = [seen("a", 6, 3, 2)];
        assert_eq!(roster.update(now, &moved, |_, _| Reached::Trying), []);
        assert_eq!(roster.to_probe().collect::<Vec<_>>(), [(ReplicaId::new(2), addr(3))]);
        assert_eq!(see(&mut roster, now, &moved), [up("a", 2, 3)]);
    }
}
