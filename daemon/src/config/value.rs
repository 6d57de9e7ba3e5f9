//! Values with a spelling of their own.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use serde::Deserialize;

use crate::acl::PasswordHash;

/// Permissions of the socket's file.
///
/// The default is the daemon's own user only: whoever connects can read and change everything, and on a shared
/// machine that must be somebody's decision. Write permission is what connecting needs; a socket has no other use
/// for its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct SocketMode(u32);

impl SocketMode {
    /// The permission bits.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.0
    }
}

impl Default for SocketMode {
    fn default() -> Self {
        Self(0o600)
    }
}

impl FromStr for SocketMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix("0o").unwrap_or(text);
        // from_str_radix would take a sign.
        let octal = !digits.is_empty() && digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
        match u32::from_str_radix(digits, 8) {
            Ok(mode) if octal && mode <= 0o777 => Ok(Self(mode)),
            _ => Err(format!("`{text}` is no octal mode up to 0777, like 0660")),
        }
    }
}

/// The password of the default user: given as it is, or as `#` and its SHA-256 in hexadecimal digits; empty for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct RequirePass(pub Option<PasswordHash>);

impl From<String> for RequirePass {
    fn from(text: String) -> Self {
        Self::of(text.as_bytes())
    }
}

impl From<&str> for RequirePass {
    fn from(text: &str) -> Self {
        Self::of(text.as_bytes())
    }
}

impl RequirePass {
    /// What was given.
    #[must_use]
    pub fn of(text: &[u8]) -> Self {
        let spelled_out = text.strip_prefix(b"#").and_then(PasswordHash::parse);
        Self(spelled_out.or_else(|| (!text.is_empty()).then(|| PasswordHash::of(text))))
    }
}

/// As a hash.
impl fmt::Display for RequirePass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |hash| write!(f, "#{hash}"))
    }
}

/// Which channels a new user may use, in Redis's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lower")]
pub enum ChannelsDefault {
    /// None.
    #[default]
    ResetChannels,
    /// All.
    AllChannels,
}

impl ChannelsDefault {
    /// Redis's word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        if self == Self::AllChannels { "allchannels" } else { "resetchannels" }
    }
}

impl TryFrom<String> for SocketMode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for SocketMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

/// Who may call DEBUG.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum DebugCommand {
    /// Nobody.
    #[default]
    No,
    /// Everybody.
    Yes,
    /// Clients of this machine.
    Local,
}

impl DebugCommand {
    /// Redis's word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Yes => "yes",
            Self::Local => "local",
        }
    }
}

/// A time in seconds, like `5` or `0.5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "f64")]
pub struct Seconds(Duration);

/// More than anybody waits, and still something that can be added to a clock.
const SECONDS_MAX: f64 = 1e9;

impl Seconds {
    /// So many of them.
    #[must_use]
    pub fn new(time: Duration) -> Self {
        Self(time)
    }

    /// The time.
    #[must_use]
    pub fn time(self) -> Duration {
        self.0
    }
}

impl TryFrom<f64> for Seconds {
    type Error = String;

    fn try_from(seconds: f64) -> Result<Self, String> {
        if (0.0..=SECONDS_MAX).contains(&seconds) {
            Ok(Self(Duration::from_secs_f64(seconds)))
        } else {
            Err(format!("`{seconds}` is no time in seconds, like 5 or 0.5"))
        }
    }
}

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seconds: f64 = text.parse().map_err(|_| format!("`{text}` is no time in seconds, like 5 or 0.5"))?;
        seconds.try_into()
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.as_secs_f64())
    }
}

/// What a line of the log looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// What is worth a line of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What keeps the daemon from doing its work.
    Error,
    /// What someone should look at.
    Warn,
    /// Start, stop, peers that come and go.
    #[default]
    Info,
    /// Clients that come and go, and why.
    Debug,
    /// Everything.
    Trace,
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_may_have_a_fraction_and_no_sign() {
        for (text, millis) in
            [("5", Some(5_000)), ("0.25", Some(250)), ("0", Some(0)), ("1e9", Some(1_000_000_000_000))]
        {
            assert_eq!(text.parse().ok().map(|it: Seconds| it.time().as_millis()), millis, "{text}");
        }
        for text in ["", "-1", "NaN", "inf", "2e9", "5s"] {
            assert!(text.parse::<Seconds>().is_err(), "{text}");
        }
        assert_eq!(Seconds::new(Duration::from_millis(500)).to_string(), "0.5");
    }

    #[test]
    fn a_mode_is_octal_and_has_nine_bits() {
        for (text, mode) in [("0600", Some(0o600)), ("660", Some(0o660)), ("0o777", Some(0o777)), ("0", Some(0))] {
            assert_eq!(text.parse().ok().map(SocketMode::bits), mode, "{text}");
        }
        for text in ["", "0o", "1000", "8", "rw", "-1", "+7", "0x1ff", "7777"] {
            assert!(text.parse::<SocketMode>().is_err(), "{text}");
        }
        assert_eq!(SocketMode::default().to_string(), "0600");
    }
}
