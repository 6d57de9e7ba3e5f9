"""redis-py against two daemons: what an application in Python would do, with what it must see."""

import sys
import time

import redis


def main(here_path, there_path):
    # redis-py says HELLO 3 and CLIENT SETINFO before its first command.
    here = redis.Redis(unix_socket_path=here_path, decode_responses=True)
    there = redis.Redis(unix_socket_path=there_path, decode_responses=True)
    raw = redis.Redis(unix_socket_path=here_path, protocol=2)

    assert here.ping() is True
    assert here.set("k", "v") is True
    assert here.get("k") == "v" and raw.get("k") == b"v"
    assert here.get("missing") is None
    assert here.set("k", "w", nx=True) is None
    assert here.mset({"a": 1, "b": 2}) is True
    assert here.mget("a", "b", "missing") == ["1", "2", None]
    assert here.incr("n") == 1 and here.incrby("n", 41) == 42 and here.decr("n") == 41
    scripted = here.register_script("return redis.call('incrby', KEYS[1], ARGV[1])")
    assert scripted(keys=["n"], args=[9]) == 50 and scripted(keys=["n"], args=[-9]) == 41
    assert here.append("k", "!") == 2 and here.strlen("k") == 2

    assert here.sadd("s", "x", "y") == 2 and here.sadd("s", "x") == 0
    assert here.smembers("s") == {"x", "y"} and here.sismember("s", "x") == 1
    assert set(here.sscan_iter("s")) == {"x", "y"}
    assert here.srem("s", "y", "z") == 1 and here.scard("s") == 1

    assert here.hset("h", mapping={"f": "1", "g": "two"}) == 2
    assert here.hincrby("h", "f", 4) == 5
    assert here.hgetall("h") == {"f": "5", "g": "two"}
    assert here.hmget("h", "g", "missing") == ["two", None] and here.hdel("h", "g") == 1

    assert here.type("h") == "hash" and here.exists("k", "s", "missing") == 2
    assert sorted(here.scan_iter()) == ["a", "b", "h", "k", "n", "s"]

    for command, words in [
        (lambda: here.incr("k"), "not an integer"),
        (lambda: here.sadd("k", "x"), "WRONGTYPE"),
        (lambda: here.execute_command("NO SUCH COMMAND"), "unknown command"),
    ]:
        try:
            command()
        except redis.ResponseError as error:
            assert words in str(error), error
        else:
            raise AssertionError(f"not refused: {words}")

    with here.pipeline(transaction=False) as pipe:
        for number in range(10_000):
            pipe.hset("wide", number, number)
        assert pipe.execute() == [1] * 10_000

    binary = bytes(range(256)) * 4_000
    assert raw.set(b"\x00key\xff", binary) is True and raw.get(b"\x00key\xff") == binary

    assert here.wait(1, 10_000) == 1
    assert there.get("n") == "41" and there.hlen("wide") == 10_000 and there.smembers("s") == {"x"}
    assert there.delete("wide", "missing") == 1
    assert there.wait(1, 10_000) == 1
    assert here.exists("wide") == 0

    patience = time.monotonic() + 10
    while (status := there.execute_command("CAHOOTS STATUS"))["keys"] != here.dbsize():
        assert time.monotonic() < patience, status
    assert here.flushall() is True and here.dbsize() == 0
    print("redis-py", redis.__version__, "finds what it expects")


main(*sys.argv[1:])
