/**
 * Typed words that the relay has not yet said that it has: a path may have swallowed them when it died, so they are sent
 * again on the next one. No DOM and no clock.
 */

/** Of more than these the oldest are given up: the relay remembers 64 that it has had. */
export const MOST = 20;

/**
 * @typedef {object} Letter
 * @property {string} id
 * @property {string} text
 * @property {boolean} answered   or only to be remembered
 */

/** @param {Letter[]} post in the order of writing @param {Letter} letter @returns {Letter[]} */
export function keep(post, letter) {
  return [...post, letter].slice(-MOST);
}

/** The relay has it, or refuses it. @param {Letter[]} post @param {string} id @returns {Letter[]} */
export function taken(post, id) {
  return post.some((letter) => letter.id === id) ? post.filter((letter) => letter.id !== id) : post;
}
