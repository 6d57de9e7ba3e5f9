//! What is near: distances on a sphere, shapes, and the cells that a shape may reach into.

use super::hash::{Cell, LATITUDE_MAX, Place, Span, steps_for};

/// The mean radius of the Earth, as Redis has it.
const EARTH_METRES: f64 = 6_372_797.560_856;

fn radians(degrees: f64) -> f64 {
    degrees * (std::f64::consts::PI / 180.0)
}

fn degrees(radians: f64) -> f64 {
    radians / (std::f64::consts::PI / 180.0)
}

fn metres_between_latitudes(a: f64, b: f64) -> f64 {
    EARTH_METRES * (radians(b) - radians(a)).abs()
}

/// The way from one place to another, by the haversine formula.
pub(super) fn metres_between(a: Place, b: Place) -> f64 {
    let v = ((radians(b.longitude) - radians(a.longitude)) / 2.0).sin();
    if v == 0.0 {
        return metres_between_latitudes(a.latitude, b.latitude);
    }
    let (from, to) = (radians(a.latitude), radians(b.latitude));
    let u = ((to - from) / 2.0).sin();
    let square = u * u + from.cos() * to.cos() * v * v;
    2.0 * EARTH_METRES * square.sqrt().asin()
}

/// A shape around a place; lengths in metres.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Circle { radius: f64 },
    Box { width: f64, height: f64 },
}

impl Shape {
    /// How far a place is from the middle, if it is within.
    pub(super) fn distance(self, middle: Place, place: Place) -> Option<f64> {
        match self {
            Self::Circle { radius } => Some(metres_between(middle, place)).filter(|metres| *metres <= radius),
            Self::Box { width, height } => {
                let beside = Place { longitude: middle.longitude, latitude: place.latitude };
                let is_within = metres_between_latitudes(place.latitude, middle.latitude) <= height / 2.0
                    && metres_between(place, beside) <= width / 2.0;
                is_within.then(|| metres_between(middle, place))
            }
        }
    }

    /// How far it reaches at most, to the sides, and up and down.
    fn reach(self) -> (f64, f64, f64) {
        match self {
            Self::Circle { radius } => (radius, radius, radius),
            Self::Box { width, height } => {
                let (across, along) = (width / 2.0, height / 2.0);
                ((across * across + along * along).sqrt(), across, along)
            }
        }
    }

    /// What it spans around a place.
    fn span(self, middle: Place) -> Span {
        let (_, across, along) = self.reach();
        let Place { longitude, latitude } = middle;
        let north = degrees(along / EARTH_METRES);
        // Degrees are narrower where the shape is nearer to a pole.
        let widest = if latitude < 0.0 { latitude - north } else { latitude + north };
        let east = degrees(across / EARTH_METRES / radians(widest).cos());
        Span { west: longitude - east, east: longitude + east, south: latitude - north, north: latitude + north }
    }

    /// The cells that it may reach into: the one around the middle and those around that, in Redis's order, which is the
    /// order of what is found unless another one is asked for. Some may be the same where the shape is large.
    pub(super) fn cells(self, middle: Place) -> Vec<Cell> {
        let wanted = self.span(middle);
        let mut steps = steps_for(self.reach().0, middle.latitude);
        let mut centre = Cell::of(middle, steps, LATITUDE_MAX);
        let is_short = centre.beside(0, 1).span().north < wanted.north
            || centre.beside(0, -1).span().south > wanted.south
            || centre.beside(1, 0).span().east < wanted.east
            || centre.beside(-1, 0).span().west > wanted.west;
        if steps > 1 && is_short {
            steps -= 1;
            centre = Cell::of(middle, steps, LATITUDE_MAX);
        }
        let span = centre.span();
        let is_needed = |east: i64, north: i64| {
            steps < 2
                || !(north < 0 && span.south < wanted.south
                    || north > 0 && span.north > wanted.north
                    || east < 0 && span.west < wanted.west
                    || east > 0 && span.east > wanted.east)
        };
        let around = [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)];
        let needed = around.into_iter().filter(|(east, north)| is_needed(*east, *north));
        let mut cells: Vec<Cell> = needed.map(|(east, north)| centre.beside(east, north)).collect();
        // Around a large one some are met twice in a row.
        cells.dedup();
        cells
    }
}
