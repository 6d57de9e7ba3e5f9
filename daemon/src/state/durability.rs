//! What the disk has to do with clients: whether data is being loaded, and whether what was written is kept.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::state::NotReady;
use crate::storage::{AppendFsync, Progress, Storage};

/// The disk as connections and commands see it.
#[derive(Debug, Default)]
pub struct Durability {
    /// Set while data is being loaded: commands that need it are refused.
    loading: AtomicBool,
    /// Of that, all that is in the directory is.
    read: AtomicBool,
    /// How far that is.
    pub progress: Progress,
    /// There once everything is loaded, if data is kept at all.
    storage: OnceLock<Storage>,
}

impl Durability {
    /// Data is about to be loaded.
    #[must_use]
    pub fn of_a_directory() -> Self {
        Self { loading: AtomicBool::new(true), ..Self::default() }
    }

    /// Whether data is being loaded.
    #[must_use]
    pub fn is_loading(&self) -> bool {
        self.loading.load(Relaxed)
    }

    /// The directory is read; it remains to be seen under which id the replica goes on.
    pub fn directory_read(&self) {
        self.read.store(true, Relaxed);
    }

    /// Why data is not there yet, if it is not.
    #[must_use]
    pub fn not_ready(&self) -> Option<NotReady> {
        self.is_loading().then(|| match self.read.load(Relaxed) {
            true => NotReady::Confirming,
            false => NotReady::Reading { percent: u8::try_from(self.progress.percent()).unwrap_or(100) },
        })
    }

    /// Data is loaded, and kept by `storage` from now on.
    pub fn loaded(&self, storage: Storage) {
        // There is one directory, loaded once.
        let _ = self.storage.set(storage);
        self.loading.store(false, Relaxed);
    }

    /// Where data is kept, if it is.
    #[must_use]
    pub fn storage(&self) -> Option<&Storage> {
        self.storage.get()
    }

    /// Where data is kept if replies to writes wait for it.
    #[must_use]
    pub fn storage_waited_for(&self) -> Option<&Storage> {
        self.storage().filter(|storage| storage.policy() == AppendFsync::Always)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Batch;
    use crate::resp::Parser;
    use crate::session::Session;
    use crate::state::Server;
    use cahoots_gossip::ReplicaId;
    use cahoots_gossip::engine::{Now, Replica, ReplicaConfig};

    fn server(durability: Durability) -> Server {
        Server { durability, ..crate::fuzz::server() }
    }

    fn ask(server: &Server, words: &str) -> String {
        ask_in(&mut Session::new(1, "a", "b"), server, words)
    }

    fn ask_in(session: &mut Session, server: &Server, words: &str) -> String {
        let now = Now { mono: 0, wall: 1 };
        let mut replica = Replica::new(ReplicaConfig::default(), ReplicaId::new(1), now);
        let mut out = Vec::new();
        let mut line = format!("{words}\r\n").into_bytes();
        let mut parser = Parser::new(server.limits.frame);
        Batch::new(&mut replica, now, session, server, &mut out).run(&mut parser, &mut line);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn while_data_is_loaded_clients_are_told_so_with_how_far_it_is() {
        let loading = server(Durability::of_a_directory());
        loading.durability.progress.total.store(200, Relaxed);
        loading.durability.progress.done.store(50, Relaxed);
        for words in ["GET a", "SET a 1", "WAIT 0 1", "SAVE"] {
            let refusal = ask(&loading, words);
            assert_eq!(refusal, "-LOADING cahoots is reading the data directory (25 %)\r\n", "{words}");
        }
        assert_eq!(ask(&loading, "PING"), "+PONG\r\n", "it lives");
        let info = ask(&loading, "INFO persistence");
        assert!(info.contains("loading:1") && info.contains("loading_loaded_perc:25"), "{info}");
        assert!(ask(&loading, "CLIENT ID").starts_with(':'));
        assert!(ask(&loading, "COMMAND COUNT").starts_with(':'));
        loading.durability.directory_read();
        assert_eq!(ask(&loading, "GET a"), "-LOADING cahoots is asking its peers about its replica id\r\n");
        let memory = server(Durability::default());
        assert_eq!(ask(&memory, "PING"), "+PONG\r\n");
        assert!(ask(&memory, "INFO persistence").contains("loading:0"));
    }

    #[test]
    fn only_clients_that_write_are_held_up_by_the_disk() {
        let server = server(Durability::default());
        let mut session = Session::new(1, "a", "b");
        for (words, wrote) in [("GET a", false), ("SET a 1", true), ("EXISTS a", false), ("SADD s x", true)] {
            ask_in(&mut session, &server, words);
            assert_eq!(std::mem::take(&mut session.wrote), wrote, "{words}");
        }
    }
}
