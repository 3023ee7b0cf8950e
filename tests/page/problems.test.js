import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deviceProblem, explain, httpProblem, isDecided } from '../../static/problems.js';

/** @param {string} name */
function thrown(name) {
  return Object.assign(new Error(), { name });
}

for (const [name, code] of [
  ['NotAllowedError', 'microphone-refused'], ['NotFoundError', 'microphone-missing'],
  ['NotReadableError', 'microphone-busy'], ['TypeError', 'microphone-failed'],
]) {
  test(`${name} of the microphone has a sentence, a next step and a way to type`, () => {
    const problem = deviceProblem('microphone', thrown(String(name)));
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

for (const device of /** @type {const} */ (['camera', 'screen'])) {
  for (const name of ['NotAllowedError', 'NotFoundError', 'NotReadableError', 'TypeError']) {
    test(`${name} of the ${device} has a sentence and a next step, and ends no call`, () => {
      const { what, next, canType } = explain(deviceProblem(device, thrown(name)));
      assert.match(what, new RegExp(device));
      assert.match(next, /\.$/);
      assert.equal(canType, undefined);
    });
  }
}

for (const code of ['idle', 'call-limit', 'budget-call', 'budget-day']) {
  test(`the relay’s ${code} is a decision, not a fault, and has a sentence and a next step`, () => {
    assert.equal(isDecided(code), true);
    const { what, next } = explain({ code });
    assert.match(what, /^[A-Z].+\.$/);
    assert.match(next, /^[A-Z].+\.$/);
    assert.notDeepEqual(explain({ code }), explain({ code: 'refused' }));
  });
}

test('what went wrong is no decision', () => {
  for (const code of ['', 'model-lost', 'internal', 'constructor']) assert.equal(isDecided(code), false);
});
