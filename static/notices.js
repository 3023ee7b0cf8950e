/**
 * What is worth saying while the call goes on: one notice at a time, the newest first, each until it is no longer true.
 * No DOM and no clock; `now` is an argument in milliseconds.
 */

/** How long a notice stays that no event takes back, ms. */
export const STAY_MS = 12_000;
/** How long good news stay, ms. */
export const BRIEF_MS = 6_000;

/** @typedef {import('./problems.js').Explanation} Explanation */
/**
 * @typedef {object} Notice
 * @property {string} key
 * @property {string} what
 * @property {string} next
 * @property {number} until       when it is taken down
 * @property {number|null} ends   when the call ends, if it warns of that
 * @property {boolean} stillHere  can a person say that she is still here?
 */

/**
 * What the relay tells in passing, by the name of its event, and what the page finds itself. `…` is where a time stands,
 * if it says one.
 * @type {Record<string, {what: string, next: string, stays?: number, replaces?: string[], warns?: boolean, stillHere?: boolean}>}
 */
const EVENTS = {
  'path-lost': {
    what: 'The connection is interrupted; the page is getting it back.',
    next: 'Nobody hears you meanwhile. Wait a moment, or check the network.',
    stays: Infinity,
    replaces: ['path-back', 'returned'],
  },
  'path-back': { what: 'The connection is back.', next: 'Go on where you were.', stays: BRIEF_MS, replaces: ['path-lost'] },
  returned: { what: 'You are back in the call.', next: 'Go on where you were.', stays: BRIEF_MS },
  reconnecting: {
    what: 'The line to the model broke; the relay is calling it again.',
    next: 'Wait a moment: what was said is not lost.',
    stays: Infinity,
    replaces: ['resumed'],
  },
  resumed: { what: 'The model is back.', next: 'Go on where you were.', stays: BRIEF_MS, replaces: ['reconnecting'] },
  'memory-shortened': {
    what: 'The model has forgotten a part of the conversation and knows only what was said last.',
    next: 'Say again what it should still know.',
    stays: 2 * STAY_MS,
    replaces: ['reconnecting', 'resumed'],
  },
  'idle-warning': {
    what: 'Nobody has said anything for a while; the call will end….',
    next: 'Say or type something to keep it.',
    warns: true,
    stillHere: true,
  },
  'limit-warning': {
    what: 'The call has nearly reached its longest time and will end….',
    next: 'Come to a close; you can start again afterwards.',
    warns: true,
  },
  closing: {
    what: 'The relay is being stopped, and the call will end….',
    next: 'Come to a close; you can start again when the relay is back.',
    warns: true,
  },
  'slow-answer': {
    what: 'The model takes long; the relay has asked it to go on.',
    next: 'Wait a moment, or say it again.',
    replaces: ['late'],
  },
  late: { what: 'The model takes long to answer.', next: 'Say it again, or type it.' },
  missed: {
    what: 'You were away for long; some of what was said is missing here.',
    next: 'The saved transcript has it all.',
  },
  'mic-dead': {
    what: 'No sound comes from your microphone.',
    next: 'Check its own switch, or choose another one under Devices; typing still works.',
  },
};

/**
 * An event of the relay's or the page's as a notice; null for one that this page does not know.
 * @param {string} event
 * @param {number} now
 * @param {number|null} [seconds] until it comes true
 * @returns {Notice|null}
 */
export function notice(event, now, seconds = null) {
  const known = Object.hasOwn(EVENTS, event) ? EVENTS[event] : undefined;
  if (!known) return null;
  const what = known.what.replace('…', seconds === null ? ' soon' : ` in ${duration(seconds)}`);
  const ends = known.warns && seconds !== null ? now + 1_000 * seconds : null;
  const until = ends ?? now + (known.stays ?? (known.warns ? Infinity : STAY_MS));
  return { key: event, what, next: known.next, until, ends, stillHere: known.stillHere === true };
}

/** Anything else that does not end the call. @param {Explanation} explained @param {number} now @returns {Notice} */
export function remark(explained, now) {
  return { key: 'remark', what: explained.what, next: explained.next, until: now + STAY_MS, ends: null, stillHere: false };
}

/**
 * With one more, the newest last; what it makes untrue is gone.
 * @param {Notice[]} notices
 * @param {Notice} added
 */
export function add(notices, added) {
  return [...drop(notices, added.key, ...(EVENTS[added.key]?.replaces ?? [])), added];
}

/** Without these. @param {Notice[]} notices @param {...string} keys */
export function drop(notices, ...keys) {
  return notices.some(({ key }) => keys.includes(key)) ? notices.filter(({ key }) => !keys.includes(key)) : notices;
}

/** Those that still hold. @param {Notice[]} notices @param {number} now */
export function current(notices, now) {
  return notices.some(({ until }) => until <= now) ? notices.filter(({ until }) => until > now) : notices;
}

/** What is left until then, as a clock shows it. @param {number} ends @param {number} now */
export function countdown(ends, now) {
  const seconds = Math.max(0, Math.ceil((ends - now) / 1_000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}

/** @param {number} seconds */
function duration(seconds) {
  const [count, unit] = seconds < 90 ? [Math.max(1, Math.round(seconds)), 'second'] : [Math.round(seconds / 60), 'minute'];
  return `${count} ${unit}${count === 1 ? '' : 's'}`;
}
