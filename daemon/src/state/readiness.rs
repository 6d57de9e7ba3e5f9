//! Whether commands on data are answered: one answer for refusals, for `INFO`, and for people.

use std::fmt;

use crate::state::Server;
use cahoots_gossip::engine::Readiness;

/// Why commands on data are refused for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotReady {
    /// The data directory is being read.
    Reading {
        /// How much of it is read.
        percent: u8,
    },
    /// The peers are asked whether they know of another use of this replica's id.
    Confirming,
    /// The replica has not got what its cluster has.
    CatchingUp {
        /// How much of that it has.
        percent: u8,
    },
}

impl NotReady {
    /// How far it is with what it is doing.
    #[must_use]
    pub fn percent(self) -> u8 {
        match self {
            Self::Reading { percent } | Self::CatchingUp { percent } => percent,
            Self::Confirming => 100,
        }
    }
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reading { percent } => write!(f, "reading the data directory ({percent} %)"),
            Self::Confirming => f.write_str("asking its peers about its replica id"),
            Self::CatchingUp { percent } => write!(f, "catching up with its peers ({percent} %)"),
        }
    }
}

impl Server {
    /// Why commands on data are refused, if they are; `replica` is how far the replica is with its cluster.
    #[must_use]
    pub fn not_ready(&self, replica: &Readiness) -> Option<NotReady> {
        if let Some(reason) = self.durability.not_ready() {
            return Some(reason);
        }
        match replica {
            Readiness::Joining(progress) if !self.serve_while_joining => {
                Some(NotReady::CatchingUp { percent: progress.percent })
            }
            _ => None,
        }
    }
}
