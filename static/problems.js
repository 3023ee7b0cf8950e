/**
 * Every way a call can fail, as a person reads it: one sentence on what happened, one on what to do next. No DOM.
 */

/** @typedef {import('./call.js').Problem} Problem */
/** @typedef {{what: string, next: string, canType?: boolean, hopeless?: boolean}} Explanation */

/** @type {Record<string, Explanation>} */
const EXPLAINED = {
  insecure: {
    what: 'Browsers give the microphone only to pages that come over HTTPS or from this very computer.',
    next: 'Open this page on the computer where the relay runs, or let its owner start it with --lan.',
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
  'no-packet': {
    what: 'No packet of the call reached the relay.',
    next: 'A firewall or VPN may block UDP: try another network. The relay’s owner can open its UDP port, or set up TURN.',
  },
  'checks-failed': {
    what: 'Packets reached the relay, but its answers did not come back.',
    next: 'A firewall or VPN may block UDP: try another network. The relay’s owner can set up TURN.',
  },
  'dtls-failed': {
    what: 'A path to the relay was found, but its encryption could not be agreed on.',
    next: 'Reload the page and start again. If it keeps happening, something on the way changes packets.',
  },
  'connection-lost': {
    what: 'The connection was lost and did not come back within a minute.',
    next: 'Check the network, then take the call up again. If the relay does not keep it any more, it will say so.',
  },
  'call-over': {
    what: 'That call is over: the relay does not keep it any longer.',
    next: 'Start a new one.',
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
    what: 'The call goes on elsewhere, in another tab.',
    next: 'Go on there, or take it back.',
  },
  idle: {
    what: 'Nobody had spoken for a while, so the relay ended the call.',
    next: 'Start again when you like.',
  },
  'call-limit': {
    what: 'The call has lasted as long as one may here.',
    next: 'Save the transcript if you need it, then start again.',
  },
  'budget-call': {
    what: 'The call has cost as much as one may here.',
    next: 'Save the transcript if you need it, then start again.',
  },
  'budget-day': {
    what: 'What this relay may spend in a day is spent.',
    next: 'Come back tomorrow, or ask its owner for more.',
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
    next: 'Open the relay’s whole address, with its access token behind #token=.',
  },
  'http-403': {
    what: 'The relay does not accept this page or its access token.',
    next: 'Open the relay’s whole address, with its access token behind #token=.',
  },
  'transcript-gone': {
    what: 'The relay has deleted what was said: it keeps it for ten minutes.',
    next: 'As text it can still be saved, from what this page shows.',
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

/** Why there is no path to the relay, as it sees it. */
export const PATH_PROBLEMS = ['no-packet', 'checks-failed', 'dtls-failed'];

/** Ends that somebody has decided, and nothing has gone wrong. */
const DECIDED = ['idle', 'call-limit', 'budget-call', 'budget-day'];

/** Does the relay end a call for this reason without a fault? @param {string} code */
export function isDecided(code) {
  return DECIDED.includes(code);
}

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
