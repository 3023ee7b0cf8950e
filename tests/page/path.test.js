import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  KNOCK_MS, LOOK_MS, MOST_RESTARTS, RESTARTS_MS, SLEEP_MS, STALLED_MS, STALLED_PING_MS,
  look, newPath, nextLook, pings, restartWait,
} from '../../static/path.js';

/** What a relay takes at once, messages; see docs/rtvi.md. */
const BURST = 100;

/**
 * Looks at a path on which nothing arrives any more from `dark` until `light`.
 * @param {number} until @param {number} dark @param {number} [light]
 */
function watch(until, dark, light = Infinity) {
  let path = newPath(0);
  let pinged = 0;
  const stalls = [];
  for (let now = 0; now <= until; now = nextLook(path)) {
    const before = path.stalled;
    path = look(path, now < dark ? now : now >= light ? now : dark, now);
    if (path.stalled !== before) stalls.push(now);
    if (!pings(path, now)) continue;
    pinged += now >= dark && now < light ? 1 : 0;
    path = { ...path, pinged: now };
  }
  return { path, stalls, pinged };
}

test('a live path is looked at calmly', () => {
  const { path, stalls } = watch(60_000, Infinity);
  assert.deepEqual([path.stalled, stalls], [false, []]);
  assert.equal(nextLook(path) - path.looked, LOOK_MS);
});

test('wherever a blackout begins between two looks, it is known after 1.5 s and not before one', () => {
  for (let dark = 4_000; dark < 4_000 + LOOK_MS; dark += 10) {
    const [at = Infinity] = watch(10_000, dark).stalls;
    assert.ok(at - dark <= 1_500 && at - dark >= STALLED_MS - LOOK_MS, `${at - dark}`);
  }
});

test('a path that stirs is alive at the next look', () => {
  const { stalls } = watch(20_000, 4_000, 9_000);
  assert.equal(stalls.length, 2);
  assert.ok((stalls[1] ?? Infinity) - 9_000 <= KNOCK_MS);
});

test('a silent path is asked often, so that single lost packets are no blackout', () => {
  assert.ok(watch(4_000 + STALLED_MS, 4_000).pinged >= 0.7 * STALLED_MS / KNOCK_MS);
});

test('the pings of a long blackout do not flood the relay when they all arrive', () => {
  assert.ok(watch(64_000, 4_000).pinged < 0.8 * BURST);
});

test('while the relay is known to be there, a stalled path is asked often again', () => {
  const path = { ...newPath(0), stalled: true, pinged: 1_000 };
  assert.equal(pings(path, 1_000 + KNOCK_MS), false);
  assert.equal(pings(path, 1_000 + KNOCK_MS, true), true);
  assert.equal(pings(path, 1_000 + STALLED_PING_MS), true);
});

test('a page that slept does not take its sleep for silence', () => {
  const awake = look(newPath(0), 7, 100);
  const woken = look(awake, 7, 100 + 10 * SLEEP_MS);
  assert.equal(woken.stalled, false);
  assert.equal(look(woken, 7, woken.looked + STALLED_MS).stalled, true);
  assert.equal(look(woken, 8, woken.looked + STALLED_MS).stalled, false);
});

test('a stalled path does not recover by sleeping', () => {
  const stalled = look(look(newPath(0), 7, 0), 7, STALLED_MS);
  assert.equal(stalled.stalled, true);
  assert.equal(look(stalled, 7, STALLED_MS + 10 * SLEEP_MS).stalled, true);
});

test('a browser that does not say what arrived is not suspected', () => {
  let path = newPath(0);
  for (let now = 0; now < 60_000; now += LOOK_MS) path = look(path, -1, now);
  assert.equal(path.stalled, false);
});

test('no more new connections are built than the relay takes', () => {
  assert.equal(restartWait([], 0), 0);
  const restarts = Array.from({ length: MOST_RESTARTS }, (_, n) => 1_000 * n);
  assert.equal(restartWait(restarts.slice(1), 4_000), 0);
  assert.equal(restartWait(restarts, 4_000), RESTARTS_MS - 4_000);
  assert.equal(restartWait(restarts, RESTARTS_MS), 0);
});
