/**
 * The words that page and relay exchange over the data channel: RTVI 2.1 inside SmallWebRTC, as any Pipecat client
 * speaks it. Builders return the text to send; `parse` turns a frame into an `Incoming`, or null if it is not for us.
 */

import { costOf } from './cost.js';

export const VERSION = '2.1.0';
/** The longest text a person may send, characters: the relay refuses messages over 16 KiB. */
export const TEXT_MAX = 3_500;
const LABEL = 'rtvi-ai';
/** How many places the model read in are named, and how long a name, or an address, may be, characters. */
const SOURCES_MAX = 5;
const TITLE_MAX = 80;
const ADDRESS_MAX = 2_000;

/**
 * @typedef {{kind: 'bot-output', text: string, segment: string, status: string, ahead: boolean, silent: boolean,
 *   spokenText: string|null}} BotOutput
 * @typedef {{who: 'user'|'model', text: string, over: boolean, interrupted: boolean, continues: boolean}} Told
 * @typedef {{title: string, address: string}} Source where the model says that it read something
 * @typedef {{kind: 'bot-ready', model: string, camera: boolean, screen: boolean}
 *   | {kind: 'user-speaking', on: boolean} | {kind: 'bot-speaking', on: boolean} | {kind: 'bot-llm', on: boolean}
 *   | {kind: 'user-text', text: string, final: boolean}
 *   | {kind: 'bot-text', text: string} | BotOutput
 *   | {kind: 'tool', id: string, state: 'running'|'done'|'cancelled'} | {kind: 'sources', sources: Source[]}
 *   | {kind: 'relay-event', event: string, seconds: number|null} | {kind: 'history', turns: Told[]}
 *   | {kind: 'cost', cost: import('./cost.js').Cost}
 *   | {kind: 'corrected', who: 'user'|'model', was: string, text: string}
 *   | {kind: 'interrupted'} | {kind: 'peer-left'}
 *   | {kind: 'taken', id: string} | {kind: 'error', text: string, fatal: boolean, code: string, id: string} | {kind: 'notice', text: string}} Incoming
 */

/** @returns {string} eight hex digits, as the JavaScript SDK does */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(4));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** @param {string} type @param {object} data @param {string} [id] */
function envelope(type, data, id = newId()) {
  return JSON.stringify({ label: LABEL, type, id, data });
}

/** A page may be loaded again, so its end is no goodbye. @param {Record<string, string>} about who we are: `library` at least */
export function clientReady(about) {
  return envelope('client-ready', { version: VERSION, about, returns: true });
}

/** Unless it is to be answered it interrupts nothing. @param {import('./post.js').Letter} letter @param {boolean} [again] it may have come before */
export function sendText({ id, text, answered }, again = false) {
  const options = { run_immediately: answered, audio_response: true };
  return envelope('send-text', { content: text.slice(0, TEXT_MAX), options, ...(again && { again }) }, id);
}

export function disconnectBot() {
  return envelope('disconnect-bot', {});
}

/** @param {number} receiver 0 the microphone, 1 the camera, 2 the screen @param {boolean} enabled does it send? */
export function trackStatus(receiver, enabled) {
  return JSON.stringify({ type: 'signalling', message: { type: 'trackStatus', receiver_index: receiver, enabled } });
}

/** @param {number} now epoch milliseconds */
export function ping(now) {
  return `ping: ${Math.round(now)}`;
}

/**
 * @param {unknown} frame what the data channel delivered
 * @returns {Incoming|null}
 */
export function parse(frame) {
  if (typeof frame !== 'string') return null;
  /** @type {unknown} */
  let value;
  try {
    value = JSON.parse(frame);
  } catch {
    return null;
  }
  const message = record(value);
  if (message.type === 'signalling') return signalling(record(message.message));
  if (message.label !== LABEL || typeof message.type !== 'string') return null;
  return conversation(message.type, record(message.data), string(message.id));
}

/** @param {Record<string, unknown>} message @returns {Incoming|null} */
function signalling(message) {
  return message.type === 'peerLeft' ? { kind: 'peer-left' } : null;
}

/** @param {string} type @param {Record<string, unknown>} data @param {string} id of our message that this answers @returns {Incoming|null} */
function conversation(type, data, id) {
  switch (type) {
    case 'bot-ready': return botReady(data);
    case 'user-started-speaking': return { kind: 'user-speaking', on: true };
    case 'user-stopped-speaking': return { kind: 'user-speaking', on: false };
    case 'bot-started-speaking': return { kind: 'bot-speaking', on: true };
    case 'bot-stopped-speaking': return { kind: 'bot-speaking', on: false };
    case 'bot-llm-started': return { kind: 'bot-llm', on: true };
    case 'bot-llm-stopped': return { kind: 'bot-llm', on: false };
    case 'bot-interrupted': return { kind: 'interrupted' };
    case 'user-input': return typeof data.msg_id === 'string' ? { kind: 'taken', id: data.msg_id } : null;
    case 'user-transcription': return { kind: 'user-text', text: string(data.text), final: data.final !== false };
    case 'bot-llm-text': return { kind: 'bot-text', text: string(data.text) };
    case 'bot-output': return botOutput(data);
    case 'llm-function-call-in-progress': return tool(data, 'running');
    case 'llm-function-call-stopped': return tool(data, data.cancelled === true ? 'cancelled' : 'done');
    case 'bot-llm-search-response': return sources(data);
    case 'error': return error(data, data.fatal === true);
    case 'error-response': return error(data, false, id);
    case 'server-message': return notice(data);
    default: return null;
  }
}

/** @param {Record<string, unknown>} data @param {boolean} fatal @param {string} [id] @returns {Incoming} */
function error(data, fatal, id = '') {
  return { kind: 'error', text: string(data.error) || string(data.message), fatal, code: string(data.code), id };
}

/** Without a word about it, the model may well see. @param {Record<string, unknown>} data @returns {Incoming} */
function botReady(data) {
  const { video_in: camera, screen_in: screen } = record(data.capabilities);
  return { kind: 'bot-ready', model: string(record(data.about).model), camera: camera !== false, screen: screen !== false };
}

/** @param {Record<string, unknown>} data @param {'running'|'done'|'cancelled'} state @returns {Incoming|null} */
function tool(data, state) {
  const id = string(data.tool_call_id);
  return id ? { kind: 'tool', id, state } : null;
}

/**
 * The first few addresses that can be opened, each once. Nothing else of what was found is shown: it may be markup.
 * @param {Record<string, unknown>} data
 * @returns {Incoming|null}
 */
function sources(data) {
  /** @type {Map<string, Source>} */
  const found = new Map();
  for (const origin of Array.isArray(data.origins) ? data.origins.slice(0, 5 * SOURCES_MAX) : []) {
    const { site_uri: given, site_title: title } = record(origin);
    const url = URL.canParse(string(given)) ? new URL(string(given)) : null;
    if (!url || !['http:', 'https:'].includes(url.protocol) || url.href.length > ADDRESS_MAX || found.has(url.href)) continue;
    found.set(url.href, { title: string(title).trim().slice(0, TITLE_MAX) || url.hostname, address: url.href });
  }
  return found.size > 0 ? { kind: 'sources', sources: [...found.values()].slice(0, SOURCES_MAX) } : null;
}

/**
 * Protocol 2 says `spoken_status` and perhaps `spoken_progress`; protocol 1 only `spoken`. `ahead` is text that will be
 * spoken later; `silent` is text that never will be.
 * @param {Record<string, unknown>} data
 * @returns {BotOutput}
 */
function botOutput(data) {
  const progress = record(data.spoken_progress);
  const status = string(data.spoken_status) || 'new';
  return {
    kind: 'bot-output',
    text: string(data.text),
    segment: typeof data.segment_id === 'number' ? String(data.segment_id) : string(data.segment_id),
    status,
    ahead: status === 'new' && (data.will_be_spoken === true || (data.spoken === false && data.will_be_spoken !== false)),
    silent: data.will_be_spoken === false && data.spoken === false,
    spokenText: typeof progress.accumulated_text === 'string' ? progress.accumulated_text : null,
  };
}

/** @param {Record<string, unknown>} data @returns {Incoming|null} */
function notice(data) {
  const { event, seconds } = data;
  if (event === 'history') return { kind: 'history', turns: history(data.turns) };
  if (event === 'transcript-corrected') {
    return { kind: 'corrected', who: data.role === 'user' ? 'user' : 'model', was: string(data.was), text: string(data.text) };
  }
  if (event === 'cost') {
    const cost = costOf(data);
    return cost && { kind: 'cost', cost };
  }
  if (typeof event === 'string') return { kind: 'relay-event', event, seconds: typeof seconds === 'number' ? seconds : null };
  const text = string(data.info) || string(data.notice);
  return text ? { kind: 'notice', text } : null;
}

/** What was said before this page was there, without the calls of functions. @param {unknown} turns @returns {Told[]} */
function history(turns) {
  return (Array.isArray(turns) ? turns : []).map(record).flatMap(({ role, text, ended, how, interrupted, continues }) => {
    if (typeof text !== 'string' || !text.trim() || (role !== 'user' && role !== 'assistant')) return [];
    const over = typeof ended === 'number' || how === 'prior';
    const who = role === 'user' ? 'user' : 'model';
    return [{ who, text, over, interrupted: interrupted === true, continues: continues === true }];
  });
}

/** @param {unknown} value @returns {Record<string, unknown>} */
function record(value) {
  return typeof value === 'object' && value !== null ? /** @type {Record<string, unknown>} */ (value) : {};
}

/** @param {unknown} value */
function string(value) {
  return typeof value === 'string' ? value : '';
}
