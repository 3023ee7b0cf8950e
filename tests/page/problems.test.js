import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explain, httpProblem, microphoneProblem } from '../../static/problems.js';

/** @param {string} name */
function thrown(name) {
  return Object.assign(new Error(), { name });
}

for (const [name, code] of [
  ['NotAllowedError', 'microphone-refused'], ['NotFoundError', 'microphone-missing'],
  ['NotReadableError', 'microphone-busy'], ['TypeError', 'microphone-failed'],
]) {
  test(`${name} of the microphone has a sentence, a next step and a way to type`, () => {
    const problem = microphoneProblem(thrown(String(name)));
    assert.equal(problem.code, code);
    const { what, next, canType } = explain(problem);
    assert.match(what, /microphone/i);
    assert.match(next, /\.$/);
    assert.equal(canType, true);
  });
}

test('the relay’s own sentence wins, and its second one is the next step', () => {
  const busy = httpProblem(503, { code: 'too-many-calls', info: 'All lines are busy. Try again in a moment.' });
  assert.deepEqual(explain(busy), { what: 'All lines are busy. Try again in a moment.', next: '' });
  const info = 'The relay has its hands full with other calls. Try again in half a minute.';
  assert.deepEqual(explain(httpProblem(503, { code: 'busy', info, detail: info })), { what: info, next: '' });
});

test('a sentence without a next step gets ours', () => {
  const { what, next } = explain(httpProblem(401, { detail: 'no token' }));
  assert.equal(what, 'no token.');
  assert.match(next, /#token=/);
});

for (const status of [400, 401, 403, 404, 410, 413, 429, 500, 502, 503, 504]) {
  test(`HTTP ${status} without a body is explained`, () => {
    const { what, next } = explain(httpProblem(status, null));
    assert.ok(what.endsWith('.') && next.endsWith('.'));
  });
}

test('a body of the wrong form is as good as none', () => {
  for (const body of ['x', 7, [], { info: 7 }, { info: null }]) {
    assert.deepEqual(httpProblem(503, body), { code: 'http-503' });
  }
});

test('an unknown code is still explained', () => {
  assert.match(explain({ code: 'never-heard-of' }).what, /relay/);
});
