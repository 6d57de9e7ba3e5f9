//! What Redis tells clients that spread commands over several servers, or compare answers: hints, by the names of commands. Here
//! every daemon has everything; clients route by these words all the same.

const ANY_OUTPUT: &str = "nondeterministic_output";
const ANY_ORDER: &str = "nondeterministic_output_order";
const ALL_NODES: &str = "request_policy:all_nodes";
const ALL_SHARDS: &str = "request_policy:all_shards";
const MULTI_SHARD: &str = "request_policy:multi_shard";
const ALL_SUCCEEDED: &str = "response_policy:all_succeeded";
const AGG_MIN: &str = "response_policy:agg_min";
const AGG_SUM: &str = "response_policy:agg_sum";
const ONE_SUCCEEDED: &str = "response_policy:one_succeeded";
const SPECIAL: &str = "response_policy:special";

/// Those of a command, in Redis's order.
pub(super) fn tips_of(command: &str) -> &'static [&'static str] {
    match command {
        "client|info"
        | "client|list"
        | "cluster|getkeysinslot"
        | "cluster|info"
        | "cluster|links"
        | "cluster|nodes"
        | "cluster|replicas"
        | "cluster|shards"
        | "cluster|slots"
        | "dump"
        | "hrandfield"
        | "hscan"
        | "lastsave"
        | "object|encoding"
        | "object|freq"
        | "object|idletime"
        | "object|refcount"
        | "pttl"
        | "spop"
        | "srandmember"
        | "sscan"
        | "time"
        | "ttl"
        | "xadd"
        | "xautoclaim"
        | "xclaim"
        | "xinfo|consumers"
        | "xpending"
        | "xtrim"
        | "zrandmember"
        | "zscan" => &[ANY_OUTPUT],
        "command" | "command|docs" | "command|info" | "command|list" | "function|list" | "hgetall" | "hkeys"
        | "hvals" | "module|list" | "sdiff" | "sinter" | "smembers" | "sunion" => &[ANY_ORDER],
        "flushall" | "flushdb" | "function|delete" | "function|flush" | "function|load" | "function|restore"
        | "memory|purge" | "ping" => &[ALL_SHARDS, ALL_SUCCEEDED],
        "del" | "exists" | "touch" | "unlink" => &[MULTI_SHARD, AGG_SUM],
        "config|set" | "latency|reset" | "script|flush" | "script|load" | "slowlog|reset" => {
            &[ALL_NODES, ALL_SUCCEEDED]
        }
        "latency|doctor" | "latency|graph" | "latency|histogram" | "latency|history" | "latency|latest" => {
            &[ANY_OUTPUT, ALL_NODES, SPECIAL]
        }
        "function|stats" | "info" | "memory|doctor" | "memory|malloc-stats" | "memory|stats" => {
            &[ANY_OUTPUT, ALL_SHARDS, SPECIAL]
        }
        "function|kill" | "script|kill" => &[ALL_SHARDS, ONE_SUCCEEDED],
        "slowlog|get" => &[ALL_NODES, ANY_OUTPUT],
        "slowlog|len" => &[ALL_NODES, AGG_SUM, ANY_OUTPUT],
        "keys" => &[ALL_SHARDS, ANY_ORDER],
        "dbsize" => &[ALL_SHARDS, AGG_SUM],
        "wait" | "waitaof" => &[ALL_SHARDS, AGG_MIN],
        "mget" => &[MULTI_SHARD],
        "scan" => &[ANY_OUTPUT, "request_policy:special"],
        "script|exists" => &[ALL_SHARDS, "response_policy:agg_logical_and"],
        "msetnx" => &[MULTI_SHARD, AGG_MIN],
        "mset" => &[MULTI_SHARD, ALL_SUCCEEDED],
        "randomkey" => &[ALL_SHARDS, ANY_OUTPUT],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::commands;

    #[test]
    fn hints_are_of_commands_that_exist() {
        let all = commands().flat_map(|command| std::iter::once(command).chain(command.subcommands));
        assert_eq!(all.filter(|command| !tips_of(command.name).is_empty()).count(), 85);
    }
}
