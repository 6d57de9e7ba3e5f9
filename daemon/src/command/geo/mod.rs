//! Places on Earth: sorted sets whose scores are geohashes. Between replicas they are sorted sets, and nothing else.

mod area;
mod hash;
mod place;
mod query;
mod search;

use super::arguments::{Argument, KEY, block, double, integer, one_of, string, word};
use super::context::{Context, admit};
use super::contract::{Command, Flow, Handler, Outcome};
use super::error::CommandError;
use super::flags::{Categories, DENYOOM, Flags, READONLY, WRITE};
use super::key_use::KeyUse;
use super::keys::{KEY_AND_LATER_STORES, KEY_AND_STORES, KeySpec, ONE_KEY, TWO_KEYS};
use super::number;
use super::options::{int_arg, is};
use crate::resp::{Args, Reply};
use cahoots_gossip::store::{Class, View};
use hash::{Cell, LATITUDE_MAX, LONGITUDE_MAX, Place, STEPS};

const fn command(name: &'static str, arity: i16, flags: Flags, handler: Handler) -> Command {
    over(ONE_KEY, name, arity, flags, handler)
}

/// One that takes other keys than its first argument.
const fn over(keys: &'static [KeySpec], name: &'static str, arity: i16, flags: Flags, handler: Handler) -> Command {
    Command::new("geo", name, arity, flags, handler).also(Categories::GEO).at(keys)
}

const STORE: Flags = WRITE.and(DENYOOM);
const UNIT: Argument = one_of("unit", &[word("M"), word("KM"), word("FT"), word("MI")]);
const COORDINATES: &[Argument] = &[double("longitude"), double("latitude")];
const COUNT: Argument = block("count-block", &[integer("count").behind("COUNT"), word("ANY").optional()]).optional();
const ORDER: Argument = one_of("order", &[word("ASC"), word("DESC")]).optional();
const WITHCOORD: Argument = word("WITHCOORD").optional();
const WITHDIST: Argument = word("WITHDIST").optional();
const WITHHASH: Argument = word("WITHHASH").optional();
const STORED: Argument =
    one_of("store", &[KEY.called("storekey").behind("STORE"), KEY.called("storedistkey").behind("STOREDIST")])
        .optional();
const FROM: Argument =
    one_of("from", &[string("member").behind("FROMMEMBER"), block("fromlonlat", COORDINATES).behind("FROMLONLAT")]);
const BY: Argument = one_of(
    "by",
    &[
        block("circle", &[double("radius").behind("BYRADIUS"), UNIT]),
        block("box", &[double("width").behind("BYBOX"), double("height"), UNIT]),
    ],
);

const EACH: &str = "O(log(N)), N the members, for each one given";
const NEAR: &str = "O(N+log(M)), N the members in the cells that are reached, M those found";
const RADIUS_HISTORY: &[(&str, &str)] = &[("6.2.0", "Added ANY."), ("7.0.0", "Found nowhere is an empty list.")];

pub(super) const COMMANDS: &[Command] = &[
    command("geoadd", -5, STORE, place::geoadd)
        .using(&[KeyUse::UPDATES])
        .about("3.2.0", EACH, "Adds places to a sorted set, or moves them.")
        .changed(&[("6.2.0", "Added CH, NX and XX.")])
        .takes(&[
            KEY,
            one_of("condition", &[word("NX"), word("XX")]).optional(),
            word("CH").optional(),
            block("data", &[double("longitude"), double("latitude"), string("member")]).multiple(),
        ]),
    command("geodist", -4, READONLY, place::geodist)
        .about("3.2.0", "O(1)", "Tells how far two places are apart.")
        .takes(&[KEY, string("member1"), string("member2"), UNIT.optional()]),
    command("geohash", -2, READONLY, place::geohash)
        .about("3.2.0", "O(N), N the members given", "Tells the geohashes of places.")
        .takes(&[KEY, string("member").optional().multiple()]),
    command("geopos", -2, READONLY, place::geopos)
        .about("3.2.0", "O(N), N the members given", "Tells where places are.")
        .takes(&[KEY, string("member").optional().multiple()]),
    command("geosearch", -7, READONLY, search::geosearch)
        .about("6.2.0", NEAR, "Finds the places in a circle or a box.")
        .takes(&[KEY, FROM, BY, ORDER, COUNT, WITHCOORD, WITHDIST, WITHHASH]),
    over(TWO_KEYS, "geosearchstore", -8, STORE, search::geosearchstore)
        .using(&[KeyUse::REPLACES, KeyUse::READS])
        .about("6.2.0", NEAR, "Stores the places in a circle or a box.")
        .takes(&[
            KEY.called("destination"),
            KEY.called("source"),
            FROM,
            BY,
            ORDER,
            COUNT,
            word("STOREDIST").optional(),
        ]),
    over(KEY_AND_LATER_STORES, "georadius", -6, STORE, search::georadius)
        .using(&[KeyUse::READS, KeyUse::REPLACES])
        .about("3.2.0", NEAR, "Finds or stores the places in a circle.")
        .changed(RADIUS_HISTORY)
        .takes(&[
            KEY,
            double("longitude"),
            double("latitude"),
            double("radius"),
            UNIT,
            WITHCOORD,
            WITHDIST,
            WITHHASH,
            COUNT,
            ORDER,
            STORED,
        ]),
    command("georadius_ro", -6, READONLY, search::georadius_ro)
        .about("3.2.10", NEAR, "Finds the places in a circle.")
        .changed(RADIUS_HISTORY)
        .takes(&[
            KEY,
            double("longitude"),
            double("latitude"),
            double("radius"),
            UNIT,
            WITHCOORD,
            WITHDIST,
            WITHHASH,
            COUNT,
            ORDER,
        ]),
    over(KEY_AND_STORES, "georadiusbymember", -5, STORE, search::georadiusbymember)
        .using(&[KeyUse::READS, KeyUse::REPLACES])
        .about("3.2.0", NEAR, "Finds or stores the places in a circle around one of them.")
        .changed(RADIUS_HISTORY)
        .takes(&[KEY, string("member"), double("radius"), UNIT, WITHCOORD, WITHDIST, WITHHASH, COUNT, ORDER, STORED]),
    command("georadiusbymember_ro", -5, READONLY, search::georadiusbymember_ro)
        .about("3.2.10", NEAR, "Finds the places in a circle around one of them.")
        .changed(RADIUS_HISTORY)
        .takes(&[KEY, string("member"), double("radius"), UNIT, WITHCOORD, WITHDIST, WITHHASH, COUNT, ORDER]),
];

/// Metres in a unit.
fn unit_arg(arg: &[u8]) -> Result<f64, CommandError> {
    let known = [("m", 1.0), ("km", 1000.0), ("ft", 0.3048), ("mi", 1609.34)];
    let found = known.into_iter().find(|(word, _)| is(arg, word)).map(|(_, metres)| metres);
    found.ok_or(CommandError::text("ERR unsupported unit provided. please use M, KM, FT, MI"))
}

fn place_arg(longitude: &[u8], latitude: &[u8]) -> Result<Place, CommandError> {
    let (longitude, latitude) = (number::float_arg(longitude)?, number::float_arg(latitude)?);
    if longitude.abs() > LONGITUDE_MAX || latitude.abs() > LATITUDE_MAX {
        let text = format!("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}");
        return Err(CommandError::Other(text.into()));
    }
    Ok(Place { longitude, latitude })
}

/// Where a member of a sorted set is, and its score.
fn place_of(view: &View<'_>, member: &[u8]) -> Option<Place> {
    view.score(member).map(|score| Cell::of_score(score).middle())
}
