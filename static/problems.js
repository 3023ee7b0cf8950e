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
    next: 'Choose another one under Sound, or start again.',
    canType: true,
  },
  'microphone-lost': {
    what: 'The microphone was unplugged or taken away.',
    next: 'Choose another one under Sound; typing still works.',
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

/** @param {unknown} error what getUserMedia threw @returns {Problem} */
export function microphoneProblem(error) {
  const name = error instanceof Error ? error.name : '';
  if (name === 'NotAllowedError' || name === 'SecurityError') return { code: 'microphone-refused' };
  if (name === 'NotFoundError' || name === 'OverconstrainedError') return { code: 'microphone-missing' };
  if (name === 'NotReadableError' || name === 'AbortError') return { code: 'microphone-busy' };
  return { code: 'microphone-failed' };
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
