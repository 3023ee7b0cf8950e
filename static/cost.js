/** What the call has cost so far, in words. No DOM and no clock. */

/**
 * An estimate by the owner's prices.
 * @typedef {object} Cost
 * @property {number} money
 * @property {string} currency   three letters
 */

/** As exact as the currency's smallest coin: it is an estimate. @param {Cost} cost */
export function costInWords({ money, currency }) {
  const format = new Intl.NumberFormat('en', { style: 'currency', currency });
  const coin = 10 ** -(format.resolvedOptions().maximumFractionDigits ?? 2);
  return money < coin ? `less than ${format.format(coin)} so far` : `about ${format.format(money)} so far`;
}

/** @param {Record<string, unknown>} data of the relay's `cost` @returns {Cost|null} */
export function costOf({ money, currency }) {
  if (typeof money !== 'number' || !(money >= 0) || typeof currency !== 'string') return null;
  return /^[A-Z]{3}$/.test(currency) ? { money, currency } : null;
}
