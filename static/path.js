/**
 * Is the path to the relay alive, and when is another one to be built? Chromium itself takes 12 s and more to say that a
 * path is dead. No DOM and no clock; `now` is an argument in milliseconds.
 */

/** Time between two looks at what has arrived, ms. Each look sends a ping, so each finds its acknowledgement. */
export const LOOK_MS = 400;
/** The same while a look has found nothing: the pings are many then, for some of them may be lost. */
export const KNOCK_MS = 100;
/** So long a silence is shown, and the relay asked by another way, ms. With the look before it: 1.5 s at most. */
export const STALLED_MS = 1_000;
/** Time between two pings of a stalled path, ms: they pile up, and the relay takes a hundred at once. */
export const STALLED_PING_MS = 1_000;
/** How long a path that has not failed may take to stir once the relay answers by the other way, ms: most gaps heal. */
export const STIR_MS = 400;
/** Longest wait for one attempt to reconnect, and the pause between two, ms. */
export const ATTEMPT_MS = 6_000;
export const PAUSE_MS = 1_000;
/** Longest wait for the first path, ms: what is wrong is to be said within 15 s, and the relay is asked for it. */
export const PATH_MS = 12_000;
/** Two looks further apart than this have a sleep of the page between them, in which nothing was asked, ms. */
export const SLEEP_MS = 1_500;
/** The relay takes five new connections a minute, and hangs up at the sixth. */
export const MOST_RESTARTS = 4;
export const RESTARTS_MS = 60_000;

/**
 * @typedef {object} Path
 * @property {number} signs      all that has arrived, as a number that changes with it
 * @property {number} heard      when it changed last
 * @property {number} looked
 * @property {number} pinged
 * @property {boolean} stalled
 */

/** @param {number} now @returns {Path} */
export function newPath(now) {
  return { signs: -1, heard: now, looked: now, pinged: -Infinity, stalled: false };
}

/**
 * @param {Path} path
 * @param {number} signs what has arrived by now; negative if the browser does not say
 * @param {number} now
 * @returns {Path}
 */
export function look(path, signs, now) {
  const slept = now - path.looked > SLEEP_MS;
  if (signs < 0) return { ...path, heard: now, looked: now };
  if (signs !== path.signs) return { ...path, signs, heard: now, looked: now, stalled: false };
  const heard = slept && !path.stalled ? now : path.heard;
  return { ...path, heard, looked: now, stalled: path.stalled || now - heard >= STALLED_MS };
}

/** When to look next. @param {Path} path */
export function nextLook(path) {
  return path.looked + (path.looked > path.heard ? KNOCK_MS : LOOK_MS);
}

/** Is a ping due with this look? @param {Path} path @param {number} now @param {boolean} [answered] by the other way */
export function pings(path, now, answered = false) {
  return !path.stalled || answered || now - path.pinged >= STALLED_PING_MS;
}

/**
 * How long another connection must wait, or the relay would take them for too many.
 * @param {number[]} restarts when the last ones were built
 * @param {number} now
 */
export function restartWait(restarts, now) {
  const recent = restarts.filter((at) => now - at < RESTARTS_MS);
  const first = recent.at(-MOST_RESTARTS);
  return first === undefined ? 0 : first + RESTARTS_MS - now;
}
