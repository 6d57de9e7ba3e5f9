//! What a search asks for.

use super::area::Shape;
use super::{Args, CommandError, Place, View, int_arg, is, number, place_arg, place_of, unit_arg};

/// In which words a search is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// GEORADIUS: the middle and the radius first.
    Radius { stores: bool },
    /// GEORADIUSBYMEMBER.
    ByMember { stores: bool },
    /// GEOSEARCH, GEOSEARCHSTORE: everything behind words.
    Search { stores: bool },
}

/// Where results go, and what they are kept with.
pub(super) struct Store<'a> {
    pub(super) key: &'a [u8],
    /// Not where they are, but how far away.
    pub(super) distances: bool,
}

pub(super) struct Query<'a> {
    /// `None` only where there is no key to search.
    pub(super) middle: Option<Place>,
    pub(super) shape: Shape,
    /// Metres in the unit of distances.
    pub(super) unit: f64,
    pub(super) with_distance: bool,
    pub(super) with_score: bool,
    pub(super) with_place: bool,
    /// 0: all.
    pub(super) count: usize,
    /// Any so many, not the nearest.
    pub(super) any: bool,
    /// Nearest first, or farthest.
    pub(super) ascending: Option<bool>,
    pub(super) store: Option<Store<'a>>,
}

/// What has been said of where and how far.
#[derive(Default)]
struct Said {
    middle: Option<Place>,
    has_middle: bool,
    from_member: bool,
    shape: Option<(Shape, f64)>,
    by_box: bool,
}

const NOT_DECODED: CommandError = CommandError::text("ERR could not decode requested zset member");

impl<'a> Query<'a> {
    /// `name` is the command's as the client wrote it; `view` is what is searched; `args` come behind the key.
    pub(super) fn parse(
        (form, name): (Form, &[u8]),
        view: Option<&View<'_>>,
        args: Args<'a>,
        destination: Option<&'a [u8]>,
    ) -> Result<Self, CommandError> {
        let mut said = Said::default();
        let first = said.take_first(form, view, args)?;
        let shape = said.shape.unwrap_or((Shape::Circle { radius: 0.0 }, 1.0));
        let mut query = Self {
            middle: None,
            shape: shape.0,
            unit: shape.1,
            with_distance: false,
            with_score: false,
            with_place: false,
            count: 0,
            any: false,
            ascending: None,
            store: destination.map(|key| Store { key, distances: false }),
        };
        let mut rest = args.from(first);
        while let Some(option) = rest.get(0) {
            let taken = query.take_option(form, option, rest)?;
            let taken = if taken > 0 { taken } else { said.take(form, view, option, rest)? };
            rest = rest.from(taken);
        }
        if query.store.is_some() && (query.with_distance || query.with_score || query.with_place) {
            let whose = if destination.is_some() { "GEOSEARCHSTORE" } else { "STORE option in GEORADIUS" };
            let text = format!("ERR {whose} is not compatible with WITHDIST, WITHHASH and WITHCOORD options");
            return Err(CommandError::Other(text.into()));
        }
        if let Form::Search { .. } = form {
            let refused = |what: &str| {
                let name = String::from_utf8_lossy(name);
                CommandError::Other(format!("ERR exactly one of {what} for {name}").into())
            };
            if !said.has_middle {
                return Err(refused("FROMMEMBER or FROMLONLAT can be specified"));
            }
            (query.shape, query.unit) = said.shape.ok_or_else(|| refused("BYRADIUS and BYBOX can be specified"))?;
        }
        if query.any && query.count == 0 {
            return Err(CommandError::text("ERR the ANY argument requires COUNT argument"));
        }
        query.middle = said.middle;
        Ok(query)
    }

    /// Takes an option that all forms have; how many words it is, 0 if it is none.
    fn take_option(&mut self, form: Form, option: &[u8], rest: Args<'a>) -> Result<usize, CommandError> {
        let left = rest.len() - 1;
        let stores = matches!(form, Form::Radius { stores: true } | Form::ByMember { stores: true });
        match option {
            _ if is(option, "withdist") => self.with_distance = true,
            _ if is(option, "withhash") => self.with_score = true,
            _ if is(option, "withcoord") => self.with_place = true,
            _ if is(option, "any") => self.any = true,
            _ if is(option, "asc") => self.ascending = Some(true),
            _ if is(option, "desc") => self.ascending = Some(false),
            _ if is(option, "count") && left >= 1 => {
                let count = int_arg(rest.at(1))?;
                self.count = usize::try_from(count)
                    .ok()
                    .filter(|count| *count > 0)
                    .ok_or(CommandError::text("ERR COUNT must be > 0"))?;
                return Ok(2);
            }
            _ if stores && left >= 1 && (is(option, "store") || is(option, "storedist")) => {
                self.store = Some(Store { key: rest.at(1), distances: is(option, "storedist") });
                return Ok(2);
            }
            _ if form == (Form::Search { stores: true }) && is(option, "storedist") => match &mut self.store {
                Some(store) => store.distances = true,
                None => return Ok(0),
            },
            _ => return Ok(0),
        }
        Ok(1)
    }
}

impl Said {
    /// Takes what stands in front in the older forms; how many words that is.
    fn take_first(&mut self, form: Form, view: Option<&View<'_>>, args: Args<'_>) -> Result<usize, CommandError> {
        let taken = match form {
            Form::Search { .. } => return Ok(0),
            Form::Radius { .. } => {
                self.middle = Some(place_arg(args.at(0), args.at(1))?);
                2
            }
            Form::ByMember { .. } => {
                self.middle = view.map(|view| place_of(view, args.at(0)).ok_or(NOT_DECODED)).transpose()?;
                1
            }
        };
        // Of a member that is nowhere nothing more is read.
        if matches!(form, Form::Radius { .. }) || view.is_some() {
            self.shape = Some(circle_arg(args.at(taken), args.at(taken + 1))?);
        }
        Ok(taken + 2)
    }

    /// Takes a middle or a shape; how many words that is.
    fn take(
        &mut self,
        form: Form,
        view: Option<&View<'_>>,
        option: &[u8],
        rest: Args<'_>,
    ) -> Result<usize, CommandError> {
        let left = rest.len() - 1;
        if !matches!(form, Form::Search { .. }) {
            return Err(CommandError::Syntax);
        }
        if is(option, "frommember") && left >= 1 && (!self.has_middle || self.from_member) {
            (self.has_middle, self.from_member) = (true, true);
            self.middle = view.map(|view| place_of(view, rest.at(1)).ok_or(NOT_DECODED)).transpose()?;
            Ok(2)
        } else if is(option, "fromlonlat") && left >= 2 && !self.from_member {
            self.has_middle = true;
            self.middle = Some(place_arg(rest.at(1), rest.at(2))?);
            Ok(3)
        } else if is(option, "byradius") && left >= 2 && !self.by_box {
            self.shape = Some(circle_arg(rest.at(1), rest.at(2))?);
            Ok(3)
        } else if is(option, "bybox") && left >= 3 && (self.shape.is_none() || self.by_box) {
            self.by_box = true;
            self.shape = Some(box_arg(rest.at(1), rest.at(2), rest.at(3))?);
            Ok(4)
        } else {
            Err(CommandError::Syntax)
        }
    }
}

fn length_arg(arg: &[u8], refusal: &'static str) -> Result<f64, CommandError> {
    number::in_range(arg).ok_or(CommandError::text(refusal))
}

/// A circle, and metres in the unit it is given in.
fn circle_arg(radius: &[u8], unit: &[u8]) -> Result<(Shape, f64), CommandError> {
    let radius = length_arg(radius, "ERR need numeric radius")?;
    if radius < 0.0 {
        return Err(CommandError::text("ERR radius cannot be negative"));
    }
    let unit = unit_arg(unit)?;
    Ok((Shape::Circle { radius: radius * unit }, unit))
}

fn box_arg(width: &[u8], height: &[u8], unit: &[u8]) -> Result<(Shape, f64), CommandError> {
    let width = length_arg(width, "ERR need numeric width")?;
    let height = length_arg(height, "ERR need numeric height")?;
    if width < 0.0 || height < 0.0 {
        return Err(CommandError::text("ERR height or width cannot be negative"));
    }
    let unit = unit_arg(unit)?;
    Ok((Shape::Box { width: width * unit, height: height * unit }, unit))
}
