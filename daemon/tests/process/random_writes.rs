//! Writes drawn at random, of every type, for servers that are compared afterwards.

/// A sequence of numbers that looks random, the same for the same seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }

    fn text(&mut self) -> Vec<u8> {
        match self.below(5) {
            0 => self.below(100_000).to_string().into_bytes(),
            1 => vec![u8::try_from(self.below(256)).expect("a byte"); usize::try_from(self.below(300)).expect("small")],
            _ => (0..self.below(40) + 1).map(|_| u8::try_from(self.below(256)).expect("a byte")).collect(),
        }
    }

    fn small(&mut self) -> Vec<u8> {
        self.below(30).to_string().into_bytes()
    }

    /// A command for one of `keys` streams with consumer groups.
    fn write_group(&mut self, keys: u64) -> Vec<Vec<u8>> {
        /// Done is what is pending longest.
        const ACK: &str = "local first = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1)[1]
                           return first and redis.call('XACK', KEYS[1], ARGV[1], first[1])";
        let (key, group) = (format!("group:{}", self.below(keys)), format!("g{}", self.below(2)));
        let (consumer, text) = (format!("c{}", self.below(3)), self.below(1_000).to_string());
        let words: &[&str] = match self.below(16) {
            0..2 => &["XGROUP", "CREATE", &key, &group, "0", "MKSTREAM"],
            2 => &["XGROUP", "CREATECONSUMER", &key, &group, &consumer],
            3 => &["XGROUP", "DELCONSUMER", &key, &group, &consumer],
            4..7 => &["XREADGROUP", "GROUP", &group, &consumer, "COUNT", "3", "STREAMS", &key, ">"],
            7 => &["XAUTOCLAIM", &key, &group, &consumer, "0", "0", "COUNT", "2"],
            8..10 => &["EVAL", ACK, "1", &key, &group],
            _ => &["XADD", &key, "*", "field", &text],
        };
        words.iter().map(|word| word.as_bytes().to_vec()).collect()
    }

    /// A command of one of several types, each on keys of its own, out of `keys` of each.
    pub(crate) fn write(&mut self, keys: u64) -> Vec<Vec<u8>> {
        let class = self.below(9);
        if class == 8 {
            return self.write_group(keys);
        }
        let key = format!(
            "{}:{}",
            ["text", "count", "list", "set", "hash", "zset", "stream", "gone"]
                [usize::try_from(class).expect("one of eight")],
            self.below(keys)
        );
        let (name, rest): (&str, Vec<Vec<u8>>) = match (class, self.below(10)) {
            (_, 0) => match self.below(5) {
                0 => ("DEL", vec![]),
                1 => ("PERSIST", vec![]),
                _ => ("PEXPIRE", vec![(self.below(100_000) + 3_600_000).to_string().into_bytes()]),
            },
            (0, 1) => ("APPEND", vec![self.text()]),
            (0, 2) => ("SETRANGE", vec![self.small(), self.text()]),
            (0, 3) => ("SET", vec![self.text(), b"EX".to_vec(), (self.below(1_000) + 3_600).to_string().into_bytes()]),
            (0, _) => ("SET", vec![self.text()]),
            (1, 1..4) => ("INCRBYFLOAT", vec![b"0.5".to_vec()]),
            (1, 4..6) => ("SET", vec![self.small()]),
            (1, _) => ("INCRBY", vec![self.small()]),
            (2, 1) => ("RPOP", vec![]),
            (2, 2) => ("LTRIM", vec![self.small(), b"-1".to_vec()]),
            (2, 3) => ("LREM", vec![b"1".to_vec(), self.small()]),
            (2, 4..7) => ("LPUSH", vec![self.small(), self.text()]),
            (2, _) => ("RPUSH", vec![self.text(), self.small()]),
            (3, 1) => ("SREM", vec![self.small()]),
            (3, 2) => ("SPOP", vec![]),
            (3, _) => ("SADD", vec![self.small(), self.text()]),
            (4, 1) => ("HDEL", vec![self.small()]),
            (4, 2) => ("HINCRBY", vec![b"count".to_vec(), self.small()]),
            (4, 3) => ("HINCRBYFLOAT", vec![b"float".to_vec(), b"1.25".to_vec()]),
            (4, _) => ("HSET", vec![self.small(), self.text()]),
            (5, 1) => ("ZREM", vec![self.small()]),
            (5, 2) => ("ZPOPMIN", vec![]),
            (5, 3) => ("ZINCRBY", vec![self.small(), self.small()]),
            (5, _) => ("ZADD", vec![self.small(), self.small(), self.small(), self.text()]),
            (6, 1) => ("XTRIM", vec![b"MAXLEN".to_vec(), self.small()]),
            (6, _) => ("XADD", vec![b"*".to_vec(), self.small(), self.text()]),
            (_, _) => ("SET", vec![self.text(), b"PX".to_vec(), (self.below(300) + 1).to_string().into_bytes()]),
        };
        [vec![name.as_bytes().to_vec(), key.into_bytes()], rest].concat()
    }
}
