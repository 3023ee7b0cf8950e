/**
 * Every way a call can fail, as a person reads it: one sentence on what happened, one on what to do next. No DOM.
 */

/** @typedef {import('./call.js').Problem} Problem */
/** @typedef {{what: string, next: string, canType?: boolean, hopeless?: boolean}} Explanation */

/** @type {Record<string, Explanation>} */
const EXPLAINED = {
  insecure: {
    what: 'Browsers give the microphone only to pages that come over HTTPS or from this very computer.',
    next: 'Open this page over HTTPS, or on the computer where the relay runs.',
    hopeless: true,
  },
  'no-webrtc': {
    what: 'This browser cannot make calls: WebRTC is missing or switched off.',
    next: 'Use a current Chrome, Edge, Firefox or Safari.',
    hopeless: true,
  },
  'microphone-refused': {
    what: 'The microphone is not allowed for this page.',
    next: 'Allow it in the address bar or in the system’s privacy settings, then start again.',
    canType: true,
  },
  'microphone-missing': {
    what: 'No microphone was found.',
    next: 'Plug one in and start again.',
    canType: true,
  },
  'microphone-busy': {
    what: 'The microphone is in use by another program, or it failed to start.',
    next: 'Close the other program and start again.',
    canType: true,
  },
  'microphone-failed': {
    what: 'The microphone could not be opened.',
    next: 'Choose another one under Devices, or start again.',
    canType: true,
  },
  'microphone-lost': {
    what: 'The microphone was unplugged or taken away.',
    next: 'Choose another one under Devices; typing still works.',
  },
  'camera-refused': {
    what: 'The camera is not allowed for this page.',
    next: 'Allow it in the address bar or in the system’s privacy settings, then press Camera again. The call goes on.',
  },
  'camera-missing': {
    what: 'No camera was found.',
    next: 'Plug one in and press Camera again. The call goes on.',
  },
  'camera-busy': {
    what: 'The camera is in use by another program, or it failed to start.',
    next: 'Close the other program and press Camera again. The call goes on.',
  },
  'camera-failed': {
    what: 'The camera could not be opened.',
    next: 'Choose another one under Devices, or press Camera again. The call goes on.',
  },
  'camera-lost': {
    what: 'The camera was unplugged or taken away.',
    next: 'Plug it in or choose another one under Devices, then press Camera again.',
  },
  'camera-unwanted': {
    what: 'The model no longer sees the camera: it is switched off.',
    next: 'The call goes on without it.',
  },
  'screen-refused': {
    what: 'The screen is not shared.',
    next: 'Press Screen again and choose what the model may see. Some systems must allow it in their privacy settings, too.',
  },
  'screen-missing': {
    what: 'The browser found no screen to share.',
    next: 'Describe what you see, or use the camera.',
  },
  'screen-busy': {
    what: 'The system does not let the browser read the screen.',
    next: 'Allow it in the system’s privacy settings, then press Screen again. The call goes on.',
  },
  'screen-failed': {
    what: 'The screen could not be shared.',
    next: 'Press Screen again. The call goes on.',
  },
  'screen-ended': {
    what: 'The screen is no longer shared.',
    next: 'Press Screen to share it again.',
  },
  'screen-unwanted': {
    what: 'The model no longer sees the screen: it is not shared any more.',
    next: 'The call goes on without it.',
  },
  'no-network': {
    what: 'This computer has no network connection that a call could use.',
    next: 'Connect to a network, or allow WebRTC in the browser’s privacy settings, then start again.',
  },
  unreachable: {
    what: 'The relay does not answer.',
    next: 'Check that it is running and that you are online, then start again.',
  },
  'connect-timeout': {
    what: 'The call did not connect within 15 seconds.',
    next: 'A firewall or VPN may block UDP. Try another network, then start again.',
  },
  'no-path': {
    what: 'No network path to the relay was found.',
    next: 'A firewall or VPN may block UDP. Try another network, then start again.',
  },
  'connection-lost': {
    what: 'The connection was lost and did not come back.',
    next: 'Check the network, then start again.',
  },
  'bad-answer': {
    what: 'The relay sent an answer that this browser cannot use.',
    next: 'Start again; if it keeps happening, the relay’s log says more.',
  },
  left: {
    what: 'The relay ended the call.',
    next: 'Start again to go on.',
  },
  replaced: {
    what: 'The call was taken up elsewhere, in another window or on another device.',
    next: 'Go on there, or start again here.',
  },
  'left-early': {
    what: 'The relay hung up before the call began.',
    next: 'Start again; if it keeps happening, the relay’s log says more.',
  },
  'relay-error': {
    what: 'The relay reported an error that ends the call.',
    next: 'Start again.',
  },
  refused: {
    what: 'The relay refused the call.',
    next: 'Start again; if it keeps happening, the relay’s log says more.',
  },
  'http-401': {
    what: 'An access token is needed.',
    next: 'Open the whole address that the relay printed, with #token= at its end.',
  },
  'http-403': {
    what: 'The relay does not accept this page or its access token.',
    next: 'Open the whole address that the relay printed.',
  },
  'http-404': {
    what: 'The relay does not know this call.',
    next: 'Start again.',
  },
  'http-410': {
    what: 'That call is over.',
    next: 'Start again.',
  },
  'http-429': {
    what: 'Too many calls were started in a short time.',
    next: 'Wait a minute, then start again.',
  },
  'http-502': {
    what: 'The model cannot be reached.',
    next: 'Start again in a moment.',
  },
  'http-503': {
    what: 'All lines are busy.',
    next: 'Start again in a moment.',
  },
  unexpected: {
    what: 'The page made a mistake.',
    next: 'Reload it and start again.',
  },
};

/**
 * What the relay tells in passing, by the name of its event; the call goes on. `…` is where a time stands, if it says one.
 * @type {Record<string, Explanation>}
 */
const EVENTS = {
  reconnecting: {
    what: 'The line to the model broke; the relay is calling it again.',
    next: 'Wait a moment: what was said is not lost.',
  },
  resumed: { what: 'The model is back.', next: 'Go on where you were.' },
  'memory-shortened': {
    what: 'The conversation has become long, and the model has forgotten how it began.',
    next: 'Say again what it should still know.',
  },
  'idle-warning': {
    what: 'Nobody has said anything for a while; the call will end….',
    next: 'Say or type something to keep it.',
  },
  'limit-warning': {
    what: 'The call has nearly reached its longest time and will end….',
    next: 'Come to a close; you can start again afterwards.',
  },
  'slow-answer': {
    what: 'The model takes long; the relay has asked it to go on.',
    next: 'Wait a moment, or say it again.',
  },
  'mic-dead': {
    what: 'No sound comes from your microphone.',
    next: 'Check its own switch, or choose another one under Devices; typing still works.',
  },
};

/** @type {Explanation} */
const REFUSED = /** @type {Explanation} */ (EXPLAINED.refused);

/**
 * The relay's own sentence wins over ours: it knows more. If it has a second sentence, that one names the next step.
 * @param {Problem} problem
 * @returns {Explanation}
 */
export function explain(problem) {
  const known = EXPLAINED[problem.code] ?? REFUSED;
  const info = problem.info?.trim();
  if (!info) return known;
  const sentence = /[.!?…]$/.test(info) ? info : `${info}.`;
  const namesNextStep = /[.!?…]\s+\S/.test(info);
  return { ...known, what: sentence, next: namesNextStep ? '' : known.next };
}

/**
 * An event of the relay's in words; null for one that this page does not know.
 * @param {string} event
 * @param {number|null} [seconds] until it comes true
 * @returns {Explanation|null}
 */
export function explainEvent(event, seconds = null) {
  const known = Object.hasOwn(EVENTS, event) ? EVENTS[event] : undefined;
  return known ? { ...known, what: known.what.replace('…', seconds === null ? ' soon' : ` in ${duration(seconds)}`) } : null;
}

/** @param {number} seconds */
function duration(seconds) {
  const [count, unit] = seconds < 90 ? [Math.max(1, Math.round(seconds)), 'second'] : [Math.round(seconds / 60), 'minute'];
  return `${count} ${unit}${count === 1 ? '' : 's'}`;
}

/** @param {'microphone'|'camera'|'screen'} device @param {unknown} error what the browser threw @returns {Problem} */
export function deviceProblem(device, error) {
  const name = error instanceof Error ? error.name : '';
  if (name === 'NotAllowedError' || name === 'SecurityError') return { code: `${device}-refused` };
  if (name === 'NotFoundError' || name === 'OverconstrainedError') return { code: `${device}-missing` };
  if (name === 'NotReadableError' || name === 'AbortError') return { code: `${device}-busy` };
  return { code: `${device}-failed` };
}

/**
 * @param {number} status an HTTP status that is not 2xx
 * @param {unknown} body the response, if it was JSON
 * @returns {Problem}
 */
export function httpProblem(status, body) {
  const fields = typeof body === 'object' && body !== null ? /** @type {Record<string, unknown>} */ (body) : {};
  const text = [fields.info, fields.detail].find((value) => typeof value === 'string');
  const code = `http-${status}` in EXPLAINED ? `http-${status}` : 'refused';
  return typeof text === 'string' ? { code, info: text.slice(0, 300) } : { code };
}
