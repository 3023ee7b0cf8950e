import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AGAIN_MS, allowed, MOST } from '../../static/probe.js';
import { RECONNECT_MS } from '../../static/call.js';

/** When a system repeats the first packet of a connection, seconds after it: each wait is twice the last one. */
const REPEATS = [0, 1, 3, 7, 15, 31, 63];

test('for as long as the call is kept, some request asks every two seconds, whatever the dark swallows', () => {
  const asked = [];
  let waiting = 0;
  for (let now = 0; now < RECONNECT_MS; now += now ? AGAIN_MS : 1) {
    if (waiting >= allowed(now)) continue;
    waiting += 1;
    asked.push(...REPEATS.map((seconds) => now + 1_000 * seconds));
  }
  asked.sort((a, b) => a - b);
  const gaps = asked.filter((at) => at < RECONNECT_MS).map((at, index) => (asked[index + 1] ?? Infinity) - at);
  assert.ok(Math.max(...gaps) <= 2_000 + AGAIN_MS, `${Math.max(...gaps)}`);
  assert.ok(waiting <= MOST);
});

test('no more requests wait than a browser has connections for', () => {
  assert.equal(allowed(0), 1);
  assert.equal(allowed(1e9), MOST);
});
