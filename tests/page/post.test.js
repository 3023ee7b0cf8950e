import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keep, MOST, taken } from '../../static/post.js';

/** @param {number} number */
const letter = (number) => ({ id: String(number), text: `text ${number}`, answered: true });
/** @typedef {import('../../static/post.js').Letter} Letter */

test('what was written is kept in its order until the relay has it', () => {
  const post = [1, 2, 3].map(letter).reduce(keep, /** @type {Letter[]} */ ([]));
  assert.deepEqual(taken(post, '2').map(({ id }) => id), ['1', '3']);
});

test('an answer to something else changes nothing', () => {
  const post = keep([], letter(1));
  assert.equal(taken(post, '2'), post);
  assert.equal(taken(post, ''), post);
});

test('of too much the oldest is given up', () => {
  const all = Array.from({ length: MOST + 2 }, (_, number) => letter(number));
  const post = all.reduce(keep, /** @type {Letter[]} */ ([]));
  assert.deepEqual(post, all.slice(2));
});
