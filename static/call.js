/**
 * The life of one call: which state it is in, and which event leads where. No DOM and no clock; `now` is an
 * argument in milliseconds. `step` never mutates what it is given.
 */

/** Longest wait from the microphone to `bot-ready`, ms. */
export const CONNECT_MS = 15_000;
/** Longest silence of the model before the page says so, ms. */
export const THINK_MS = 15_000;
/** How long after a finished text a voice may still begin, ms; without one, the answer was silent. */
export const VOICE_MS = 3_000;
/** How long a lost connection is tried again before the call is given up, ms: the relay keeps it that long. */
export const RECONNECT_MS = 60_000;
/** How long the page waits for the relay's farewell after End, ms. */
export const ENDING_MS = 1_500;

/** @typedef {'idle'|'asking'|'connecting'|'live'|'reconnecting'|'ending'|'ended'|'error'} Phase */
/** @typedef {'idle'|'asking'|'connecting'|'listening'|'hearing'|'thinking'|'speaking'|'reconnecting'|'ending'|'ended'|'error'} StateName */

/**
 * Why something failed: a stable code (see problems.js), and the relay's own sentence if it sent one.
 * @typedef {{code: string, info?: string}} Problem
 */

/**
 * @typedef {object} Call
 * @property {Phase} phase
 * @property {boolean} userSpeaking
 * @property {boolean} botSpeaking
 * @property {boolean} thinking      an answer is owed
 * @property {boolean} generated     the model has finished writing; its voice may still follow
 * @property {boolean} late          the answer is overdue
 * @property {boolean} muted
 * @property {boolean} typing        there is no microphone in this call
 * @property {boolean} returning     this page was in the call before, and is on its way back
 * @property {number} deadline       when the next `tick` matters; Infinity if never
 * @property {Problem|null} problem  why the call is in `error`, or why it ended
 */

/**
 * @typedef {{type: 'start', typing?: boolean, returning?: boolean, muted?: boolean}
 *   | {type: 'microphone'} | {type: 'ready'} | {type: 'stalled'} | {type: 'recovered'}
 *   | {type: 'hangup'} | {type: 'left', code?: string} | {type: 'tick'} | {type: 'typed'} | {type: 'interrupted'}
 *   | {type: 'fail', problem: Problem} | {type: 'over', problem: Problem}
 *   | {type: 'user-speaking', on: boolean} | {type: 'bot-speaking', on: boolean} | {type: 'bot-llm', on: boolean}
 *   | {type: 'mute', on: boolean}} CallEvent
 */

/** Where each event leads; an event that is missing from a row is ignored in that phase. */
/** @type {Record<Phase, Partial<Record<CallEvent['type'], Phase>>>} */
export const MOVES = {
  idle: { start: 'asking', fail: 'error' },
  asking: { microphone: 'connecting', hangup: 'ended', over: 'ended', fail: 'error' },
  connecting: { ready: 'live', hangup: 'ending', left: 'error', over: 'ended', fail: 'error' },
  live: { stalled: 'reconnecting', hangup: 'ending', left: 'ended', over: 'ended', fail: 'error' },
  reconnecting: { recovered: 'live', hangup: 'ending', left: 'ended', over: 'ended', fail: 'error' },
  ending: { left: 'ended', over: 'ended', fail: 'ended' },
  ended: { start: 'asking', fail: 'error' },
  error: { start: 'asking' },
};

/** @type {Partial<Record<Phase, number>>} */
const PATIENCE = { connecting: CONNECT_MS, reconnecting: RECONNECT_MS, ending: ENDING_MS };

/** @returns {Call} */
export function newCall() {
  return {
    phase: 'idle', userSpeaking: false, botSpeaking: false, thinking: false, generated: false, late: false,
    muted: false, typing: false, returning: false, deadline: Infinity, problem: null,
  };
}

/**
 * @param {Call} call
 * @param {CallEvent} event
 * @param {number} now
 * @returns {Call}
 */
export function step(call, event, now) {
  if (event.type === 'tick') return now < call.deadline ? call : overdue(call);
  const to = MOVES[call.phase][event.type];
  if (to) return move(call, to, event, now);
  if (event.type === 'mute') return canMute(call) ? mute(call, event.on) : call;
  if (isLive(call) || call.phase === 'connecting') return talk(call, event, now);
  return call;
}

/** @param {Call} call @param {Phase} phase @param {CallEvent} event @param {number} now @returns {Call} */
function move(call, phase, event, now) {
  const deadline = now + (PATIENCE[phase] ?? Infinity);
  if (event.type === 'start') {
    const { typing = false, returning = false, muted = false } = event;
    return { ...newCall(), phase, typing, returning, muted: muted && !typing };
  }
  if (event.type === 'fail') return { ...quiet(call), phase, deadline, problem: event.problem };
  if (event.type === 'over' && call.phase !== 'ending') return { ...quiet(call), phase, deadline, problem: event.problem };
  // A model may have begun before the relay said that it is ready.
  if (event.type === 'ready') {
    return { ...call, phase, returning: false, deadline: call.thinking ? now + THINK_MS : deadline };
  }
  if (event.type === 'recovered') return { ...call, phase, deadline: call.thinking ? now + THINK_MS : deadline };
  if (event.type === 'stalled') return { ...call, phase, deadline, thinking: false, late: false };
  if (event.type === 'left' && call.phase !== 'ending') {
    return { ...quiet(call), phase, deadline, problem: { code: event.code ?? (phase === 'error' ? 'left-early' : 'left') } };
  }
  return { ...quiet(call), phase, deadline };
}

/** @param {Call} call @param {CallEvent} event @param {number} now @returns {Call} */
function talk(call, event, now) {
  switch (event.type) {
    case 'user-speaking':
      if (event.on) return { ...calm(call), userSpeaking: true };
      return call.userSpeaking ? { ...waiting(call, now), userSpeaking: false } : call;
    case 'typed':
      return waiting(call, now);
    case 'bot-speaking':
      return { ...calm(call), botSpeaking: event.on };
    case 'bot-llm':
      if (event.on) return call.botSpeaking ? call : waiting(call, now);
      return call.thinking && call.phase === 'live' ? { ...call, generated: true, deadline: now + VOICE_MS } : call;
    case 'interrupted':
      return { ...calm(call), botSpeaking: false };
    default:
      return call;
  }
}

/** @param {Call} call @param {boolean} on @returns {Call} */
function mute(call, on) {
  return { ...call, muted: on, userSpeaking: call.userSpeaking && !on };
}

/** @param {Call} call @param {number} now @returns {Call} */
function waiting(call, now) {
  const deadline = call.phase === 'live' ? now + THINK_MS : call.deadline;
  return { ...call, thinking: true, generated: false, late: false, deadline };
}

/** @param {Call} call @returns {Call} */
function calm(call) {
  const deadline = call.phase === 'live' ? Infinity : call.deadline;
  return { ...call, thinking: false, late: false, deadline };
}

/** @param {Call} call @returns {Call} */
function quiet(call) {
  return { ...call, thinking: false, late: false, userSpeaking: false, botSpeaking: false };
}

/** @param {Call} call @returns {Call} */
function overdue(call) {
  const done = { ...quiet(call), deadline: Infinity };
  switch (call.phase) {
    case 'connecting': return { ...done, phase: 'error', problem: { code: 'connect-timeout' } };
    case 'reconnecting': return { ...done, phase: 'error', problem: { code: 'connection-lost' } };
    case 'ending': return { ...done, phase: 'ended' };
    case 'live': return { ...call, deadline: Infinity, late: call.thinking && !call.generated, thinking: false };
    default: return done;
  }
}

/**
 * The one name a person, a style sheet or a test goes by.
 * @param {Call} call
 * @returns {StateName}
 */
export function stateName(call) {
  if (call.phase !== 'live') return call.phase;
  if (call.userSpeaking) return 'hearing';
  if (call.botSpeaking) return 'speaking';
  return call.thinking ? 'thinking' : 'listening';
}

/** @type {Record<StateName, string>} */
const WORDS = {
  idle: 'ready',
  asking: 'asking for the microphone',
  connecting: 'connecting',
  listening: 'listening',
  hearing: 'hearing you',
  thinking: 'thinking',
  speaking: 'speaking',
  reconnecting: 'reconnecting',
  ending: 'ending the call',
  ended: 'call ended',
  error: 'something went wrong',
};

/**
 * The state in words, for eyes and screen readers alike.
 * @param {Call} call
 */
export function words(call) {
  const name = stateName(call);
  if (name === 'connecting' && call.returning) return 'taking the call up again';
  if (name === 'listening' && call.typing) return 'waiting for you to type';
  if (call.muted && name === 'listening') return 'microphone muted';
  if (call.muted && (name === 'thinking' || name === 'speaking')) return `${WORDS[name]}, microphone muted`;
  return WORDS[name];
}

/** Is there a call to end? @param {Call} call */
export function isActive(call) {
  return !['idle', 'ended', 'error'].includes(call.phase);
}

/** Can the person talk and type now? @param {Call} call */
export function isLive(call) {
  return call.phase === 'live' || call.phase === 'reconnecting';
}

/** May the call be there still, for a page that knows the way back? @param {Call} call */
export function canReturn(call) {
  if (isActive(call) || !call.problem) return false;
  return call.returning ? call.phase === 'error' : ['replaced', 'connection-lost'].includes(call.problem.code);
}

/** Is there a microphone to mute, or will there be one? @param {Call} call */
export function canMute(call) {
  return isActive(call) && call.phase !== 'ending' && !call.typing;
}
