//! The daemon `cahoots`: a replica of the key space that local programs reach with any Redis client.
//!
//! By layers, each knowing only those below it: bytes ([`resp`]), commands ([`command`]), connections and sockets
//! ([`server`]), what connections share ([`state`]), configuration ([`config`]), command line ([`cli`]). The replica itself, and everything between
//! replicas, is `cahoots-gossip`.
//!
//! A *client* is a program on the local socket; a *peer* is another replica. A *frame* is one command as RESP has it.
#![forbid(unsafe_code)]

pub mod cli;
pub mod command;
pub mod config;
#[doc(hidden)]
pub mod fuzz;
pub mod resp;
pub mod server;
pub mod session;
pub mod state;
pub mod storage;
