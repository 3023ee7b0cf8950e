import assert from 'node:assert/strict';
import { test } from 'node:test';
import { costInWords } from '../../static/cost.js';
import { parse } from '../../static/rtvi.js';

/** @param {object} data */
const told = (data) => parse(JSON.stringify({ label: 'rtvi-ai', type: 'server-message', data: { event: 'cost', ...data } }));

for (const [money, currency, words] of /** @type {const} */ ([
  [0, 'USD', 'less than $0.01 so far'],
  [0.009, 'USD', 'less than $0.01 so far'],
  [0.014, 'USD', 'about $0.01 so far'],
  [12.5, 'EUR', 'about €12.50 so far'],
  [0.4, 'JPY', 'less than ¥1 so far'],
])) {
  test(`${money} ${currency} is ${words}`, () => assert.equal(costInWords({ money, currency }), words));
}

test('the relay tells what the call has cost so far', () => {
  const cost = { money: 0.25, currency: 'USD' };
  assert.deepEqual(told({ ...cost, tokens: 12_000 }), { kind: 'cost', cost });
});

test('a cost that cannot be read is not shown', () => {
  for (const data of [{}, { money: '1', currency: 'USD' }, { money: -1, currency: 'USD' }, { money: 1, currency: 'coins' }]) {
    assert.equal(told(data), null);
  }
});
