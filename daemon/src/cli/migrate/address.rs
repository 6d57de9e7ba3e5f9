//! Where a Redis is, as people write it: `redis://[user:password@]host[:port][/database]` or `unix:/path[?db=database]`.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

use super::super::resp_client::{Reply, RespClient};
use super::super::stream::{Place, Stream};
use crate::config::Local;

/// Redis's port.
const PORT: u16 = 6379;

/// A server of Redis's protocol, and who we are there.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::cli) struct Address {
    pub(super) place: Place,
    user: Option<String>,
    password: Option<String>,
    /// One database; all without.
    pub(super) database: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(in crate::cli) enum AddressError {
    #[error("an address is redis://[user:password@]host[:port][/database] or unix:/path[?db=database]")]
    Form,
    #[error(
        "TLS is not spoken here: reach the server through a tunnel (stunnel, ssh -L), or copy on its machine by unix:/path"
    )]
    Tls,
    #[error("the port is no number from 1 to 65535")]
    Port,
    #[error("the database is no number")]
    Database,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(rest) = text.strip_prefix("redis://") {
            tcp(rest)
        } else if let Some(rest) = text.strip_prefix("unix:") {
            unix(rest)
        } else if text.starts_with("rediss:") {
            Err(AddressError::Tls)
        } else {
            Err(AddressError::Form)
        }
    }
}

fn tcp(rest: &str) -> Result<Address, AddressError> {
    let (who, rest) = who(rest);
    let (server, database) = rest.split_once('/').map_or((rest, ""), |(server, database)| (server, database));
    let (host, port) = match server.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or(AddressError::Form)?)),
        None => server.rsplit_once(':').map_or((server, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        None => PORT,
        Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or(AddressError::Port)?,
    };
    if host.is_empty() {
        return Err(AddressError::Form);
    }
    let database = if database.is_empty() { None } else { Some(number(database)?) };
    Ok(who.at(Place::Tcp { host: host.to_owned(), port }, database))
}

fn unix(rest: &str) -> Result<Address, AddressError> {
    let (who, path) = match rest.strip_prefix("//") {
        Some(rest) => who(rest),
        None => (Who::default(), rest),
    };
    let (path, database) = path.split_once("?db=").map_or((path, None), |(path, number)| (path, Some(number)));
    if path.is_empty() {
        return Err(AddressError::Form);
    }
    Ok(who.at(Place::Unix(PathBuf::from(path)), database.map(number).transpose()?))
}

fn number(text: &str) -> Result<u64, AddressError> {
    text.parse().map_err(|_| AddressError::Database)
}

/// Who we are.
#[derive(Default)]
struct Who {
    user: Option<String>,
    password: Option<String>,
}

impl Who {
    fn at(self, place: Place, database: Option<u64>) -> Address {
        Address { place, user: self.user, password: self.password, database }
    }
}

/// What stands before the last `@`, and what behind it. `user:password`, `:password`.
fn who(text: &str) -> (Who, &str) {
    let Some((who, rest)) = text.rsplit_once('@') else { return (Who::default(), text) };
    let (user, password) = who.split_once(':').map_or((who, None), |(user, password)| (user, Some(password)));
    let user = (!user.is_empty()).then(|| decoded(user));
    (Who { user, password: password.map(decoded) }, rest)
}

/// With `%40` and its kin as what they stand for.
fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&first, behind)) = rest.split_first() {
        let escaped = (first == b'%').then(|| behind.get(..2)).flatten();
        let byte = escaped.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &behind[2..] } else { behind };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Without the password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Unix(path) => write!(f, "unix:{}", path.display()),
            Place::Tcp { host, port } if host.contains(':') => write!(f, "redis://[{host}]:{port}"),
            Place::Tcp { host, port } => write!(f, "redis://{host}:{port}"),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a server cannot be used.
#[derive(Debug, Error)]
pub(super) enum ConnectError {
    #[error("no server answers at {address}")]
    Unreachable { address: Address, source: io::Error },
    #[error("{address} does not let us in: {message}")]
    Refused { address: Address, message: String },
}

impl Address {
    /// The local daemon.
    pub(super) fn local(daemon: &Local) -> Self {
        let (user, password) = daemon.credentials.clone().unzip();
        Who { user, password }.at(Place::Unix(daemon.socket.clone()), None)
    }

    /// Connects, and says who we are if that is to be said.
    pub(super) fn connect(&self) -> Result<RespClient, ConnectError> {
        let unreachable = |source| ConnectError::Unreachable { address: self.clone(), source };
        let mut client = Stream::connect(&self.place).and_then(RespClient::over).map_err(unreachable)?;
        if let Some(password) = &self.password {
            let words: Vec<&[u8]> =
                [Some("AUTH"), self.user.as_deref(), Some(password)].into_iter().flatten().map(str::as_bytes).collect();
            if let Reply::Error(message) = client.call(&words).map_err(unreachable)? {
                return Err(ConnectError::Refused { address: self.clone(), message });
            }
        }
        Ok(client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (Place, Option<String>, Option<String>, Option<u64>) {
        let Address { place, user, password, database } =
            text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        (place, user, password, database)
    }

    fn tcp(host: &str, port: u16) -> Place {
        Place::Tcp { host: host.to_owned(), port }
    }

    #[test]
    fn addresses_are_read_in_all_their_forms() {
        let own = |text: &str| Some(text.to_owned());
        assert_eq!(parts("redis://h"), (tcp("h", 6379), None, None, None));
        assert_eq!(parts("redis://h:1/7"), (tcp("h", 1), None, None, Some(7)));
        assert_eq!(parts("redis://[::1]:1/"), (tcp("::1", 1), None, None, None));
        assert_eq!(parts("redis://[::1]"), (tcp("::1", 6379), None, None, None));
        assert_eq!(parts("redis://u:p%40@@h/0"), (tcp("h", 6379), own("u"), own("p@@"), Some(0)));
        assert_eq!(parts("redis://:p%zz@h"), (tcp("h", 6379), None, own("p%zz"), None));
        let socket = Place::Unix("/run/r.sock".into());
        assert_eq!(parts("unix:/run/r.sock"), (socket.clone(), None, None, None));
        assert_eq!(parts("unix:///run/r.sock?db=3"), (socket.clone(), None, None, Some(3)));
        assert_eq!(parts("unix://u:p@/run/r.sock"), (socket, own("u"), own("p"), None));
    }

    #[test]
    fn what_is_no_address_is_refused_and_a_password_never_shown() {
        use AddressError::{Database, Form, Port, Tls};
        for (text, error) in [
            ("h:1", Form),
            ("redis://", Form),
            ("redis://:1", Form),
            ("redis://[::1]x", Form),
            ("unix:", Form),
            ("rediss://h", Tls),
            ("redis://h:0", Port),
            ("redis://h:70000", Port),
            ("redis://h/x", Database),
            ("unix:/a?db=-1", Database),
        ] {
            assert_eq!(text.parse::<Address>(), Err(error), "{text}");
        }
        assert_eq!(format!("{:?}", "redis://u:secret@h/1".parse::<Address>().unwrap()), "redis://h:6379");
    }
}
