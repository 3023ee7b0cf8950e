import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lettersIn, MOST, Post } from '../../static/post.js';

/** @typedef {import('../../static/post.js').Letter} Letter */

/** @param {number} number @returns {Letter} */
const letter = (number) => ({ id: String(number), text: `text ${number}`, answered: true });
/** @param {Letter[]} letters */
const ids = (letters) => letters.map(({ id }) => id);

/** @param {number[]} numbers @param {Letter[]} [before] */
function written(numbers, before = []) {
  /** @type {string[][]} What was kept, each time. */
  const kept = [];
  const post = new Post(before, (letters) => { kept.push(ids(letters)); });
  for (const number of numbers) post.add(letter(number));
  return { post, kept };
}

test('what was written is kept in its order until the relay has it', () => {
  const { post, kept } = written([1, 2, 3]);
  assert.deepEqual(post.taken('2'), letter(2));
  assert.deepEqual(ids(post.letters), ['1', '3']);
  assert.deepEqual(kept, [['1'], ['1', '2'], ['1', '2', '3'], ['1', '3']]);
});

test('an answer to something else changes nothing', () => {
  const { post, kept } = written([1]);
  assert.equal(post.taken('2'), undefined);
  assert.equal(post.taken(''), undefined);
  assert.deepEqual(kept, [['1']]);
});

test('of too much the oldest is given up', () => {
  const all = Array.from({ length: MOST + 2 }, (_, number) => number);
  assert.deepEqual(ids(written(all).post.letters), all.slice(2).map(String));
});

test('a page that is loaded again goes on with what the one before it kept', () => {
  const before = lettersIn(JSON.parse(JSON.stringify(written([1, 2]).post.letters)));
  const { post } = written([3], before);
  assert.deepEqual(post.letters, [1, 2, 3].map(letter));
});

test('of what was kept only letters come back, and not too many', () => {
  for (const junk of [undefined, null, 'text', 7, {}, [null], [7], [{ id: 1, text: 'x' }], [{ id: 'x' }]]) {
    assert.deepEqual(lettersIn(junk), []);
  }
  assert.deepEqual(lettersIn([{ id: 'a', text: 'b', more: 'c' }]), [{ id: 'a', text: 'b', answered: false }]);
  assert.equal(lettersIn(Array.from({ length: 2 * MOST }, (_, number) => letter(number))).length, MOST);
});
