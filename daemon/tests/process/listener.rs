//! A client that is sent things unasked.

use super::{Client, Process, Value, frame};

/// A client, and whether it has begun a transaction: then it cannot be asked whether all has come.
pub(crate) struct Listener {
    pub(crate) client: Client,
    pub(crate) queues: bool,
    asked: u64,
}

impl Listener {
    pub(crate) fn new(server: &Process, protocol: &str) -> Self {
        let mut client = server.client();
        client.call(&["HELLO", protocol]);
        Self { client, queues: false, asked: 0 }
    }

    /// Sends a command; everything that has come up to its reply, and since.
    pub(crate) fn call(&mut self, words: &str) -> Vec<Value> {
        self.client.send(&frame(&words.split(' ').collect::<Vec<_>>()));
        if words == "MULTI" && !self.queues {
            let begun = self.up_to(|value| !format!("{value:?}").starts_with('>'));
            self.queues = begun.last().is_some_and(|value| value.lines() == "+OK");
            return begun;
        }
        if self.queues && !matches!(words, "EXEC" | "DISCARD" | "RESET") {
            return self.up_to(|value| !format!("{value:?}").starts_with('>'));
        }
        self.queues = false;
        self.heard()
    }

    /// Everything that has come.
    pub(crate) fn heard(&mut self) -> Vec<Value> {
        if self.queues {
            return Vec::new();
        }
        self.asked += 1;
        let token = format!("token-{}", self.asked);
        self.client.send(&frame(&["PING", &token]));
        let mut heard = self.up_to(|value| value.lines().ends_with(&token));
        heard.pop();
        heard
    }

    /// What comes up to one that is the last.
    pub(crate) fn up_to(&mut self, last: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut values = Vec::new();
        loop {
            values.push(self.client.receive());
            if values.last().is_some_and(&last) {
                return values;
            }
        }
    }
}
