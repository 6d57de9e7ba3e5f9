// node-redis and ioredis against two daemons: what an application in Node would do, with what it must see.

import assert from 'node:assert/strict';
import Redis from 'ioredis';
import { createClient } from 'redis';

const [here, there] = process.argv.slice(2);

async function nodeRedis() {
  // Says HELLO 3 and CLIENT SETINFO before its first command.
  const client = createClient({ socket: { path: here } });
  client.on('error', (error) => { throw error; });
  await client.connect();
  assert.equal(await client.ping(), 'PONG');
  assert.equal(await client.set('node:k', 'v'), 'OK');
  assert.equal(await client.get('node:k'), 'v');
  assert.equal(await client.get('node:missing'), null);
  assert.equal(await client.incrBy('node:n', 5), 5);
  assert.equal(await client.sAdd('node:s', ['x', 'y']), 2);
  assert.deepEqual((await client.sMembers('node:s')).sort(), ['x', 'y']);
  assert.equal(await client.hSet('node:h', { f: '1', g: 'two' }), 2);
  assert.equal(await client.hIncrBy('node:h', 'f', 4), 5);
  assert.deepEqual({ ...(await client.hGetAll('node:h')) }, { f: '5', g: 'two' });
  await assert.rejects(client.incr('node:k'), /not an integer/);
  await assert.rejects(client.sAdd('node:k', 'x'), /WRONGTYPE/);
  const replies = await Promise.all(Array.from({ length: 5000 }, () => client.incr('node:many')));
  assert.deepEqual(replies, Array.from({ length: 5000 }, (_, at) => at + 1));
  assert.equal(await client.wait(1, 10_000), 1);
  await client.close();
}

async function ioredis() {
  // Says INFO and waits until the server says it has loaded.
  const client = new Redis({ path: there });
  const other = new Redis({ path: here });
  assert.equal(await client.get('node:many'), '5000');
  assert.equal(await client.set('io:k', 'v'), 'OK');
  assert.deepEqual(await client.mget('io:k', 'io:missing'), ['v', null]);
  assert.equal(await client.hset('io:h', 'f', '1', 'g', '2'), 2);
  assert.deepEqual(await client.hgetall('io:h'), { f: '1', g: '2' });
  const found = [];
  for await (const page of client.scanStream({ match: 'io:*' })) found.push(...page);
  assert.deepEqual(found.sort(), ['io:h', 'io:k']);
  const replies = await client.pipeline().incr('io:n').sadd('io:s', 'x').incr('io:k').exec();
  assert.deepEqual(replies.slice(0, 2), [[null, 1], [null, 1]]);
  client.defineCommand('scripted', { numberOfKeys: 1, lua: "return redis.call('incrby', KEYS[1], ARGV[1])" });
  assert.equal(await client.scripted('io:n', 4), 5);
  assert.match(replies[2][0].message, /not an integer/);
  const blob = Buffer.alloc(300_000, 7);
  assert.equal(await client.set('io:blob', blob), 'OK');
  assert.equal(await client.wait(1, 10_000), 1);
  assert.deepEqual(await other.getBuffer('io:blob'), blob);
  assert.equal(await other.del('io:blob', 'io:k'), 2);
  await client.quit();
  await other.quit();
}

await nodeRedis();
await ioredis();
console.log('node-redis and ioredis find what they expect');
