//! The daemon `cahoots`: a replica of the key space that local programs reach with any Redis client.
//!
//! By layers, each knowing only those below it: bytes ([`resp`]), commands ([`command`]), connections and sockets
//! ([`server`]), configuration ([`config`]), command line ([`cli`]). Beside them: what is remembered of one client
//! ([`session`]), what all connections share ([`state`]), every figure there is to tell ([`account`]), and the data directory
//! ([`storage`]). The replica itself, and everything between replicas, is `cahoots-gossip`.
//!
//! A *client* is a program on the local socket; a *peer* is another replica. A *frame* is one command as RESP has it.
//!
//! # The way of a command
//!
//! A connection reads what the client has sent, and hands it to a [`command::Batch`], which runs every complete frame under
//! one lock of the replica. Frames become arguments without a copy:
//!
//! ```
//! use cahoots::resp::{FrameLimits, Parser};
//!
//! let limits = FrameLimits { inline_bytes_max: 1024, bulk_bytes_max: 1024, args_max: 16 };
//! let mut parser = Parser::new(limits);
//! let mut read = b"*2\r\n$4\r\necho\r\n$2\r\nhi\r\n*1\r\n$4\r\nPI".to_vec();
//! let length = parser.parse(&mut read)?.expect("the first frame is complete");
//! assert_eq!(parser.args(&read[..length]).iter().collect::<Vec<_>>(), [&b"echo"[..], b"hi"]);
//! assert_eq!(parser.parse(&mut read[length..])?, None, "the second is not");
//! # Ok::<(), cahoots::resp::ProtocolError>(())
//! ```
//!
//! The first argument is looked up in a table that the compiler has made of the families' lists. What stands in a list is
//! all that is known of a command, and what `COMMAND` and the pages under `docs/commands` say:
//!
//! ```
//! let get = cahoots::command::commands().find(|command| command.name == "get").expect("it exists");
//! assert_eq!(get.syntax(), "GET key");
//! assert_eq!((get.arity, get.positions()), (2, (1, 1, 1)));
//! assert_eq!(get.flags.words().collect::<Vec<_>>(), ["readonly", "fast"]);
//! ```
//!
//! Its handler works on a [`command::Context`] and writes one reply, in the version of the protocol that the client speaks.
//! Collections count themselves:
//!
//! ```
//! use cahoots::resp::{Protocol, Reply};
//!
//! let reply = |protocol| {
//!     let mut out = Vec::new();
//!     Reply::new(&mut out, protocol).map_of(|fields| {
//!         fields.text("role", "master");
//!         fields.count("keys", 3);
//!     });
//!     String::from_utf8(out).expect("text")
//! };
//! assert_eq!(reply(Protocol::Resp3), "%2\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$4\r\nkeys\r\n:3\r\n");
//! assert_eq!(reply(Protocol::Resp2), "*4\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$4\r\nkeys\r\n:3\r\n");
//! ```
//!
//! A command that has to wait, for peers or for the disk, hands the connection a [`command::Wait`]: what to await, and what
//! the command does then. Everything answered before is sent first; the replica is not locked meanwhile.
//!
//! # A new command
//!
//! An entry in the list of its family (`command/FAMILY/mod.rs`), and a function beside it. A new family is a folder, and a
//! line in `command/table.rs`. `CAHOOTS_BLESS=1 cargo test -p cahoots --test documentation` writes its page.
#![forbid(unsafe_code)]

pub mod account;
pub mod acl;
pub mod cli;
pub mod command;
pub mod config;
#[doc(hidden)]
pub mod fuzz;
pub mod pubsub;
pub mod rdb;
pub mod resp;
pub mod script;
pub mod server;
pub mod session;
pub mod state;
pub mod storage;
pub mod watch;
