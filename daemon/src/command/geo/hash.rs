//! Geohashes: a place on Earth as one number, whose bits halve longitude and latitude in turns, the first bits first. Places
//! whose numbers begin alike are in one cell. (Morton, *A computer oriented geodetic data base*, 1966.)
//!
//! Redis keeps 26 bits of each as a score: 52 bits, which a double holds exactly.

/// Bits of longitude, and of latitude, in a score.
pub(super) const STEPS: u32 = 26;
/// Where Mercator's projection ends.
pub(super) const LATITUDE_MAX: f64 = 85.051_128_78;
pub(super) const LONGITUDE_MAX: f64 = 180.0;

/// A place, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) longitude: f64,
    pub(super) latitude: f64,
}

/// A cell: so many bits of each coordinate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    x: u64,
    y: u64,
    steps: u32,
}

/// What a cell spans, in degrees.
pub(super) struct Span {
    pub(super) west: f64,
    pub(super) east: f64,
    pub(super) south: f64,
    pub(super) north: f64,
}

impl Cell {
    /// The cell that a place is in, where latitudes reach so far north and south.
    pub(super) fn of(place: Place, steps: u32, latitude_max: f64) -> Self {
        let part = |degrees: f64, max: f64| {
            let share = (degrees + max) / (2.0 * max);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cell that it falls into")]
            let number = (share * (1_u64 << steps) as f64) as u32;
            u64::from(number)
        };
        Self { x: part(place.longitude, LONGITUDE_MAX), y: part(place.latitude, latitude_max), steps }
    }

    /// The cell of the highest precision that a score is.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a score of a place is a whole number")]
    pub(super) fn of_score(score: f64) -> Self {
        let bits = score as u64;
        Self { x: gathered(bits >> 1), y: gathered(bits), steps: STEPS }
    }

    /// Its bits: those of the latitude are the even ones.
    pub(super) fn bits(self) -> u64 {
        spread(self.x) << 1 | spread(self.y)
    }

    /// The scores of the places in it: from one to below another.
    pub(super) fn scores(self) -> (f64, f64) {
        let shift = 2 * (STEPS - self.steps);
        ((self.bits() << shift) as f64, ((self.bits() + 1) << shift) as f64)
    }

    /// The cell so many to the east and to the north, around the Earth.
    pub(super) fn beside(self, east: i64, north: i64) -> Self {
        let mask = (1 << self.steps) - 1;
        let (x, y) = (self.x.wrapping_add_signed(east) & mask, self.y.wrapping_add_signed(north) & mask);
        Self { x, y, ..self }
    }

    pub(super) fn span(self) -> Span {
        let part = |number: u64, max: f64| -max + (number as f64 / (1_u64 << self.steps) as f64) * (2.0 * max);
        Span {
            west: part(self.x, LONGITUDE_MAX),
            east: part(self.x + 1, LONGITUDE_MAX),
            south: part(self.y, LATITUDE_MAX),
            north: part(self.y + 1, LATITUDE_MAX),
        }
    }

    /// The place in the middle of it.
    pub(super) fn middle(self) -> Place {
        let Span { west, east, south, north } = self.span();
        Place {
            longitude: ((west + east) / 2.0).clamp(-LONGITUDE_MAX, LONGITUDE_MAX),
            latitude: ((south + north) / 2.0).clamp(-LATITUDE_MAX, LATITUDE_MAX),
        }
    }
}

/// The lowest 32 bits with a zero in front of each.
fn spread(number: u64) -> u64 {
    let mut bits = number & 0xFFFF_FFFF;
    for (shift, mask) in [
        (16, 0x0000_FFFF_0000_FFFF),
        (8, 0x00FF_00FF_00FF_00FF),
        (4, 0x0F0F_0F0F_0F0F_0F0F),
        (2, 0x3333_3333_3333_3333),
        (1, 0x5555_5555_5555_5555),
    ] {
        bits = (bits | bits << shift) & mask;
    }
    bits
}

/// Every other bit, the lowest first.
fn gathered(bits: u64) -> u64 {
    let mut number = bits & 0x5555_5555_5555_5555;
    for (shift, mask) in [
        (1, 0x3333_3333_3333_3333),
        (2, 0x0F0F_0F0F_0F0F_0F0F),
        (4, 0x00FF_00FF_00FF_00FF),
        (8, 0x0000_FFFF_0000_FFFF),
        (16, 0x0000_0000_FFFF_FFFF),
    ] {
        number = (number | number >> shift) & mask;
    }
    number
}

/// The geohash that people write: eleven signs of five bits, of latitudes up to the poles. The last one has too few bits
/// to say anything.
pub(super) fn spelled(place: Place) -> [u8; 11] {
    const SIGNS: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
    const POLE: f64 = 90.0;
    let bits = Cell::of(place, STEPS, POLE).bits();
    let mut signs = [SIGNS[0]; 11];
    for (at, sign) in signs[..10].iter_mut().enumerate() {
        *sign = SIGNS[usize::try_from(bits >> (52 - 5 * (at + 1)) & 0x1F).unwrap_or(0)];
    }
    signs
}

/// Bits of longitude and latitude with which the cells around a place reach so many metres.
pub(super) fn steps_for(metres: f64, latitude: f64) -> u32 {
    /// Half the way around the Earth, as Mercator's projection has it.
    const HALFWAY: f64 = 20_037_726.37;
    if metres == 0.0 {
        return STEPS;
    }
    let (mut steps, mut reach) = (1, metres);
    while reach < HALFWAY {
        reach *= 2.0;
        steps += 1;
    }
    steps -= 2;
    // Near the poles cells are narrow.
    steps -= i32::from(latitude.abs() > 66.0) + i32::from(latitude.abs() > 80.0);
    steps.clamp(1, 26).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bits_are_gathered_as_they_were_spread(number: u32) {
            prop_assert_eq!(gathered(spread(number.into())), u64::from(number));
        }

        #[test]
        fn a_place_is_in_its_cell_and_the_middle_is_near(longitude in -180.0..180.0_f64, latitude in -85.05..85.05_f64) {
            let place = Place { longitude, latitude };
            let cell = Cell::of(place, STEPS, LATITUDE_MAX);
            let (least, end) = cell.scores();
            prop_assert_eq!(Cell::of_score(least), cell);
            prop_assert_eq!(end, least + 1.0);
            let span = cell.span();
            prop_assert!(span.west <= longitude + 1e-9 && longitude - 1e-9 <= span.east);
            prop_assert!(span.south <= latitude + 1e-9 && latitude - 1e-9 <= span.north);
            let middle = cell.middle();
            prop_assert!((middle.longitude - longitude).abs() < 1e-5 && (middle.latitude - latitude).abs() < 1e-5);
            prop_assert_eq!(cell.beside(3, -2).beside(-3, 2), cell);
        }
    }

    #[test]
    fn cells_go_around_the_earth() {
        let cell = Cell::of(Place { longitude: 179.99, latitude: 0.0 }, 4, LATITUDE_MAX);
        assert_eq!(cell.beside(1, 0).span().west, -LONGITUDE_MAX);
    }
}
