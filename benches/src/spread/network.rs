//! How long a datagram is under way.

use cahoots_tests::sim::Random;

/// Where a host stands.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The number of its region.
    pub region: usize,
    /// Degrees north and east.
    at: (f64, f64),
}

/// Regions with the degrees north and east of a large data centre in each.
pub const REGIONS: [(&str, f64, f64); 30] = [
    ("Amsterdam", 52.3, 4.9),
    ("Ashburn", 39.0, -77.5),
    ("Atlanta", 33.7, -84.4),
    ("Bogota", 4.7, -74.1),
    ("Boston", 42.4, -71.1),
    ("Bucharest", 44.4, 26.1),
    ("Chicago", 41.9, -87.6),
    ("Dallas", 32.8, -96.8),
    ("Denver", 39.7, -105.0),
    ("Frankfurt", 50.1, 8.7),
    ("Guadalajara", 20.7, -103.3),
    ("Hong Kong", 22.3, 114.2),
    ("Johannesburg", -26.2, 28.0),
    ("London", 51.5, -0.1),
    ("Los Angeles", 34.1, -118.2),
    ("Madrid", 40.4, -3.7),
    ("Miami", 25.8, -80.2),
    ("Montreal", 45.5, -73.6),
    ("Mumbai", 19.1, 72.9),
    ("Paris", 48.9, 2.4),
    ("Phoenix", 33.4, -112.1),
    ("Santiago", -33.4, -70.7),
    ("Sao Paulo", -23.5, -46.6),
    ("Seattle", 47.6, -122.3),
    ("Singapore", 1.4, 103.8),
    ("Stockholm", 59.3, 18.1),
    ("Sydney", -33.9, 151.2),
    ("Tokyo", 35.7, 139.7),
    ("Toronto", 43.7, -79.4),
    ("Warsaw", 52.2, 21.0),
];

const EARTH_KM: f64 = 6_371.0;
/// Light in glass.
const KM_PER_SECOND: f64 = 200_000.0;
/// Cables do not run straight.
const DETOUR: f64 = 1.5;
/// Spent in machines and switches, whatever the distance.
const ENDS_US: f64 = 2_000.0;

/// A way in which datagrams are delayed and lost.
#[derive(Clone, Copy, Debug)]
pub enum Network {
    /// 100 to 500 us between any two.
    Lan,
    /// By distance, and up to a twentieth more.
    Geographic,
}

impl Network {
    /// Host number `host` stands here, hosts being spread over the regions in turn.
    #[must_use]
    pub fn place(self, host: usize) -> Place {
        match self {
            Self::Lan => Place { region: 0, at: (0.0, 0.0) },
            Self::Geographic => {
                let region = host % REGIONS.len();
                Place { region, at: (REGIONS[region].1, REGIONS[region].2) }
            }
        }
    }

    /// Microseconds from one place to another, this time.
    #[must_use]
    pub fn delay(self, from: &Place, to: &Place, random: &mut Random) -> u64 {
        match self {
            Self::Lan => random.between(100, 500),
            Self::Geographic => {
                let seconds = distance_km(from.at, to.at) / KM_PER_SECOND * DETOUR;
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below a second")]
                let micros = (seconds * 1e6 + ENDS_US) as u64;
                micros + random.below(micros / 20 + 1)
            }
        }
    }
}

/// Along a great circle.
fn distance_km(a: (f64, f64), b: (f64, f64)) -> f64 {
    let (north, east) = ((b.0 - a.0).to_radians(), (b.1 - a.1).to_radians());
    let chord =
        (north / 2.0).sin().powi(2) + a.0.to_radians().cos() * b.0.to_radians().cos() * (east / 2.0).sin().powi(2);
    2.0 * EARTH_KM * chord.sqrt().asin()
}
