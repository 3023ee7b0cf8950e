/** The calls of this page: they join the call's states, the connection, the words and what is shown. */

import { Board } from './board.js';
import { canReturn, isActive, isLive, newCall, stateName, step } from './call.js';
import { Connection } from './connection.js';
import { obstacle, Pickers } from './devices.js';
import { Eye } from './eyes.js';
import { Meter } from './meter.js';
import { Microphone } from './microphone.js';
import { Post } from './post.js';
import { isDecided } from './problems.js';
import { save } from './record.js';
import { parse } from './rtvi.js';
import { isGone, problemOf, Signalling } from './signalling.js';
import { renewed } from './sound.js';
import { Speaker } from './speaker.js';
import { View } from './view.js';
import { WakeLock } from './wakelock.js';
import { WayBack } from './wayback.js';
import { Words } from './words.js';

/** @typedef {import('./wayback.js').Pass} Pass */

const BASE = new URL('.', location.href).href;
const STILL_HERE = 'I’m still here.';

export const view = new View();
const board = new Board(view);
const words = new Words(view.captions);
const wayBack = new WayBack();
const wakeLock = new WakeLock();
const meter = new Meter(view.canvas, view.level);
const speaker = new Speaker(view, meter);
const eyes = { camera: makeEye('camera'), screen: makeEye('screen') };
const pickers = new Pickers(view, (id) => void swapMicrophone(id), (id) => void eyes.camera.choose(id));
const microphone = new Microphone({
  changed: (track) => {
    meter.mine(track);
    if (track) void pickers.refresh({ microphone: track.getSettings().deviceId });
  },
  lost: () => {
    connection?.setSending(false);
    board.tell({ code: 'microphone-lost' });
    void pickers.refresh();
  },
});

let call = newCall();
/** @type {Connection|null} */
let connection = null;

/** The access token of the address. It stays in memory and in the fragment, which no server ever sees. */
export function signalling() {
  return new Signalling(BASE, new URLSearchParams(location.hash.slice(1)).get('token') ?? '');
}

/** Every change of the call passes here. @param {import('./call.js').CallEvent} event */
function happen(event) {
  const before = call;
  call = step(call, event, performance.now());
  if (event.type === 'tick') board.tick();
  if (call === before) return;
  if (isActive(before) && !isActive(call)) release(event);
  if (call.late && !before.late) board.announce('late');
  show();
  wakeLock.keep(isActive(call));
  meter.show(stateName(call), call.muted || call.typing);
  moveFocus(before);
}

function show() {
  view.show(call, words.turns.length > 0, wayBack.pass !== null && canReturn(call));
  for (const eye of Object.values(eyes)) view.showEye(call, eye);
}

/** @param {import('./sight.js').Kind} kind */
function makeEye(kind) {
  return new Eye(kind, {
    changed: (picture) => {
      connection?.show(kind, picture);
      if (picture) board.withdraw('remark');
      if (kind === 'camera') void pickers.refresh({ camera: picture?.getSettings().deviceId });
      show();
    },
    trouble: (problem) => board.tell(problem),
  });
}

/** The pressed button may be gone; the focus goes to its heir. @param {import('./call.js').Call} before */
function moveFocus(before) {
  const lost = document.activeElement === document.body || document.activeElement?.closest('[hidden], :disabled');
  if (!lost || isActive(before) === isActive(call)) return;
  const heir = isActive(call) ? view.mute : view.goBack.hidden ? view.start : view.goBack;
  (heir.disabled ? view.end : heir).focus({ preventScroll: true });
}

/** A new call; or by typing back into the old one, for want of a microphone. @param {boolean} typing */
export async function start(typing) {
  if (isActive(call)) return;
  view.sound = renewed(view.sound);
  if (typing && wayBack.pass && canReturn(call)) return dial({ ...wayBack.pass, typing });
  discard();
  words.clear();
  view.showCost(null);
  await dial(null, typing);
}

/** Back into the call. */
export async function takeUp() {
  view.sound = renewed(view.sound); // now that a button is pressed
  const before = call;
  const pass = await wayBack.ask();
  if (pass && call === before) await dial(pass);
}

/** @param {Pass|null} pass back into a call; null for a new one @param {boolean} [typing] without a microphone */
async function dial(pass, typing = pass?.typing ?? false) {
  const trouble = obstacle();
  if (trouble) return happen({ type: 'fail', problem: trouble });
  for (const eye of Object.values(eyes)) eye.forget();
  board.clear();
  meter.wake();
  happen({ type: 'start', typing, returning: pass !== null, muted: pass?.muted });
  const opened = typing ? null : await microphone.open(view.microphone.value);
  if (opened && 'code' in opened) return happen({ type: 'fail', problem: opened });
  if (call.phase !== 'asking') return opened?.stop();
  microphone.use(opened, call.muted);
  happen({ type: 'microphone' });
  await connect(pass);
}

/** @param {Pass|null} pass */
async function connect(pass) {
  const post = new Post(pass?.post ?? [], (letters) => {
    if (connection === mine && wayBack.pass) wayBack.keep({ ...wayBack.pass, post: letters });
  });
  const mine = new Connection(signalling(), microphone.track, {
    admitted: (way) => wayBack.keep({ ...way, muted: call.muted, typing: call.typing, post: post.letters }),
    message: (data) => hear(data),
    sound: (stream) => speaker.play(stream),
    sees: (kind, takes) => { eyes[kind].permit('relay', takes); show(); },
    stalled: () => { happen({ type: 'stalled' }); board.announce('path-lost'); },
    recovered: () => { happen({ type: 'recovered' }); board.announce('path-back'); },
    over: () => happen({ type: 'over', problem: { code: 'call-over' } }),
    failed: (problem) => happen({ type: 'fail', problem }),
  }, post, pass);
  connection = mine;
  mine.setSending(microphone.track !== null && !call.muted);
  try {
    await mine.open();
  } catch (error) {
    if (connection !== mine) return;
    if (pass && isGone(error)) happen({ type: 'over', problem: { code: 'call-over' } });
    else happen({ type: 'fail', problem: problemOf(error) });
  }
}

/** @param {string} deviceId */
async function swapMicrophone(deviceId) {
  if (!isLive(call) || call.typing) return;
  const opened = await microphone.open(deviceId);
  if ('code' in opened) return board.tell(opened, 'Choose another one under Devices; typing still works.');
  if (!isLive(call)) return opened.stop();
  microphone.use(opened, call.muted);
  await connection?.replaceTrack(opened);
  connection?.setSending(!call.muted);
  board.withdraw('remark', 'mic-dead');
}

/** @param {unknown} data a frame from the relay */
function hear(data) {
  const event = parse(data);
  if (!event) return;
  words.hear(event);
  switch (event.kind) {
    case 'bot-ready':
      if (event.model) view.showVoice(event.model);
      for (const eye of Object.values(eyes)) {
        eye.permit('model', event[eye.kind]);
        view.showEye(call, eye);
      }
      if (call.returning) {
        words.clear(); // it is told again
        board.announce('returned');
      }
      happen({ type: 'ready' });
      break;
    case 'user-speaking':
    case 'bot-speaking':
      happen({ type: event.kind, on: event.on && !(event.kind === 'user-speaking' && call.muted) });
      board.withdraw('idle-warning');
      break;
    case 'bot-llm': happen({ type: 'bot-llm', on: event.on }); break;
    case 'interrupted': happen({ type: 'interrupted' }); break;
    case 'peer-left': happen({ type: 'left' }); break;
    case 'relay-event':
      if (event.event === 'replaced') happen({ type: 'left', code: 'replaced' });
      else board.announce(event.event, event.seconds);
      break;
    case 'notice': board.tell({ code: 'told', info: event.text }, ''); break;
    case 'cost': view.showCost(event.cost); break;
    case 'taken': words.arrived(connection?.post.taken(event.id)); break;
    case 'error':
      if (event.id) connection?.post.taken(event.id);
      if (!event.fatal) board.tell({ code: 'told', info: event.text }, '');
      else if (isDecided(event.code)) happen({ type: 'over', problem: { code: event.code } });
      else happen({ type: 'fail', problem: { code: 'relay-error', info: event.text } });
      break;
    default:
  }
}

/** The button that browsers may want to be pressed. */
export const unmute = () => speaker.unmute();

export function hangUp() {
  const early = call.phase === 'asking' || call.phase === 'connecting';
  for (const eye of Object.values(eyes)) eye.off();
  microphone.mute(true);
  speaker.hush();
  const asked = !early && connection?.hangUp();
  happen({ type: 'hangup' });
  if (!asked) happen({ type: 'fail', problem: { code: 'left' } });
}

/** The call is over for this page: give back the microphone and the speaker. @param {import('./call.js').CallEvent} event */
function release(event) {
  const relayKnows = ['left', 'over'].includes(event.type) || call.problem?.code === 'relay-error';
  if (!relayKnows && !canReturn(call)) connection?.goodbye(wayBack.pass?.secret);
  wayBack.leave(canReturn(call) && call.problem?.code !== 'replaced');
  for (const eye of Object.values(eyes)) eye.off();
  connection?.close();
  connection = null;
  microphone.use(null, false);
  speaker.release();
  board.clear();
}

/** Nobody will ask any more for what was said: let the relay forget it. In another tab the call may go on. */
function discard() {
  const { pass } = wayBack;
  if (pass && call.problem?.code !== 'replaced') signalling().goodbye(pass.session, pass.secret);
  wayBack.forget();
}

export function toggleMute() {
  if (view.mute.disabled) return;
  happen({ type: 'mute', on: !call.muted });
  microphone.mute(call.muted);
  connection?.setSending(microphone.works && !call.muted);
  if (connection && wayBack.pass) wayBack.keep({ ...wayBack.pass, muted: call.muted });
}

/** Type something. @param {string} text @param {boolean} [answered] or only remembered @returns {boolean} whether it was sent */
export function write(text, answered = true) {
  if (!connection?.write(text, answered)) return false;
  words.typed(text);
  board.withdraw('idle-warning');
  if (answered) happen({ type: 'typed' });
  return true;
}

/** Keep a call in which nobody speaks. */
export const stillHere = () => write(STILL_HERE, false);

/** @param {'text'|'vtt'} format */
export async function saveTranscript(format) {
  view.transcriptPanel.hidePopover();
  const problem = await save(signalling(), wayBack.pass, format, words.turns);
  if (problem) board.tell(problem);
}

/** The page goes, perhaps to be loaded again: then it finds back by what it has kept. */
export function leave() {
  if (!isActive(call)) return canReturn(call) || discard();
  const { pass } = wayBack;
  wayBack.show();
  if (pass) connection?.close();
  else connection?.goodbye();
  connection = null;
  happen({ type: 'fail', problem: { code: 'left' } });
  if (pass) wayBack.keep(pass);
}

/** The page is here, perhaps again. */
export function arrive() {
  const trouble = obstacle();
  if (trouble) return happen({ type: 'fail', problem: trouble });
  meter.show(stateName(call), false);
  const pass = wayBack.find();
  if (pass && !isActive(call)) void dial(pass);
}

/** Time goes by. */
export const tick = () => happen({ type: 'tick' });

/** @param {import('./sight.js').Kind} kind */
export const showOrHide = (kind) => eyes[kind].toggle();
