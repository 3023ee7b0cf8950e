/** The page: it joins the call's states, the connection, the transcript and what is shown. */

import { isActive, isLive, newCall, stateName, step } from './call.js';
import { Captions } from './captions.js';
import { Connection } from './connection.js';
import { openMicrophone, Pickers } from './devices.js';
import { Eye } from './eyes.js';
import { Meter } from './meter.js';
import { deviceProblem, explain, explainEvent } from './problems.js';
import { parse, sendText } from './rtvi.js';
import { problemOf, Signalling } from './signalling.js';
import { Transcript } from './transcript.js';
import { View } from './view.js';

const BASE = new URL('.', location.href).href;
const TICK_MS = 250;

const view = new View();
const captions = new Captions(view.captions);
const meter = new Meter(view.canvas, view.level);
const eyes = { camera: makeEye('camera'), screen: makeEye('screen') };
const pickers = new Pickers(view, (id) => void swapMicrophone(id), (id) => void eyes.camera.choose(id));

let call = newCall();
let transcript = new Transcript();
/** @type {Connection|null} */
let connection = null;
/** @type {MediaStreamTrack|null} */
let track = null;

/** The access token of the address. It stays in memory and in the fragment, which no server ever sees. */
function token() {
  return new URLSearchParams(location.hash.slice(1)).get('token') ?? '';
}

/** Every change of the call passes here. @param {import('./call.js').CallEvent} event */
function happen(event) {
  const before = call;
  call = step(call, event, performance.now());
  if (call === before) return;
  if (isActive(before) && !isActive(call)) release();
  view.show(call, transcript.turns.length > 0);
  showEyes();
  meter.show(stateName(call), call.muted || call.typing);
  if (call.late && !before.late) view.remark('The model takes long to answer.', 'Say it again, or type it.');
  moveFocus(before);
}

/** @param {import('./sight.js').Kind} kind */
function makeEye(kind) {
  return new Eye(kind, {
    changed: (picture) => {
      connection?.show(kind, picture);
      if (picture) view.remark('');
      if (kind === 'camera') void pickers.refresh({ camera: picture?.getSettings().deviceId });
      showEyes();
    },
    trouble: (problem) => tell(explain(problem)),
  });
}

function showEyes() {
  for (const eye of Object.values(eyes)) view.showEye(call, eye);
}

/** @param {import('./problems.js').Explanation|null} explained what does not end the call */
function tell(explained) {
  if (explained) view.remark(explained.what, explained.next);
}

/** The pressed button may be gone; the focus goes to its heir. @param {import('./call.js').Call} before */
function moveFocus(before) {
  const lost = document.activeElement === document.body || document.activeElement?.closest('[hidden], :disabled');
  if (!lost || isActive(before) === isActive(call)) return;
  const heir = isActive(call) ? view.mute : view.start;
  (heir.disabled ? view.end : heir).focus({ preventScroll: true });
}

/** @param {boolean} typing without a microphone */
async function start(typing) {
  if (isActive(call)) return;
  const trouble = obstacle();
  if (trouble) return happen({ type: 'fail', problem: trouble });
  transcript = new Transcript();
  captions.clear();
  view.remark('');
  for (const eye of Object.values(eyes)) eye.forget();
  meter.wake();
  happen({ type: 'start', typing });
  const opened = typing ? null : await microphone();
  if (call.phase !== 'asking') return opened?.stop();
  use(opened);
  happen({ type: 'microphone' });
  const mine = new Connection(new Signalling(BASE, token()), track, {
    message: (data) => hear(data),
    sound: (stream) => play(stream),
    sees: (kind, takes) => { eyes[kind].permit('relay', takes); showEyes(); },
    stalled: () => happen({ type: 'stalled' }),
    recovered: () => happen({ type: 'recovered' }),
    failed: (problem) => happen({ type: 'fail', problem }),
  });
  connection = mine;
  mine.setSending(track !== null && !call.muted);
  await mine.open().catch((error) => {
    if (connection === mine) happen({ type: 'fail', problem: problemOf(error) });
  });
}

/** What forbids a call before it begins. @returns {import('./call.js').Problem|null} */
function obstacle() {
  if (!window.isSecureContext) return { code: 'insecure' };
  if (!('RTCPeerConnection' in window) || !navigator.mediaDevices) return { code: 'no-webrtc' };
  return null;
}

/** @returns {Promise<MediaStreamTrack|null>} */
async function microphone() {
  try {
    return await openMicrophone(view.microphone.value).catch((error) => {
      if (error?.name !== 'OverconstrainedError') throw error;
      return openMicrophone();
    });
  } catch (error) {
    happen({ type: 'fail', problem: deviceProblem('microphone', error) });
    return null;
  }
}

/** @param {MediaStreamTrack|null} opened becomes the microphone of this call */
function use(opened) {
  if (track) track.onended = null;
  track?.stop();
  track = opened;
  meter.mine(track);
  if (!track) return;
  track.enabled = !call.muted;
  track.onended = () => {
    connection?.setSending(false);
    tell(explain({ code: 'microphone-lost' }));
    void pickers.refresh();
  };
  void pickers.refresh({ microphone: track.getSettings().deviceId });
}

/** @param {string} deviceId */
async function swapMicrophone(deviceId) {
  if (!isLive(call) || call.typing) return;
  try {
    const opened = await openMicrophone(deviceId);
    if (!isLive(call)) return opened.stop();
    use(opened);
    await connection?.replaceTrack(opened);
    connection?.setSending(!call.muted);
    view.remark('');
  } catch (error) {
    const { what } = explain(deviceProblem('microphone', error));
    view.remark(what, 'Choose another one under Sound; typing still works.');
  }
}

/** @param {unknown} data a frame from the relay */
function hear(data) {
  const event = parse(data);
  if (!event) return;
  captions.draw(transcript.apply(event));
  switch (event.kind) {
    case 'bot-ready':
      if (event.model) view.showVoice(event.model);
      for (const eye of Object.values(eyes)) eye.permit('model', event[eye.kind]);
      happen({ type: 'ready' });
      break;
    case 'user-speaking': happen({ type: 'user-speaking', on: event.on && !call.muted }); break;
    case 'bot-speaking': happen({ type: 'bot-speaking', on: event.on }); break;
    case 'bot-llm': happen({ type: 'bot-llm', on: event.on }); break;
    case 'interrupted': happen({ type: 'interrupted' }); break;
    case 'peer-left': happen({ type: 'left' }); break;
    case 'renegotiate': void connection?.renegotiate(); break;
    case 'relay-event': relayTells(event.event, event.seconds); break;
    case 'notice': view.remark(event.text); break;
    case 'error':
      if (event.fatal) happen({ type: 'fail', problem: { code: 'relay-error', info: event.text } });
      else view.remark(event.text);
      break;
    default:
  }
}

/** @param {string} event @param {number|null} seconds until it comes true */
function relayTells(event, seconds) {
  if (event !== 'replaced') return tell(explainEvent(event, seconds));
  connection?.disown();
  happen({ type: 'left', code: 'replaced' });
}

/** @param {MediaStream} stream the model's voice */
function play(stream) {
  view.sound.srcObject = stream;
  meter.theirs(stream);
  view.sound.play().catch((error) => {
    if (error?.name === 'NotAllowedError') view.playSound.hidden = false;
  });
}

function hangUp() {
  const early = call.phase === 'asking' || call.phase === 'connecting';
  for (const eye of Object.values(eyes)) eye.off();
  if (track) track.enabled = false;
  view.sound.muted = true;
  const asked = connection?.hangUp();
  happen({ type: 'hangup' });
  if (early || !asked) happen({ type: 'left' });
}

/** The call is over: give back the microphone, the speaker and the session. */
function release() {
  for (const eye of Object.values(eyes)) eye.off();
  connection?.close();
  connection = null;
  use(null);
  meter.theirs(null);
  view.remark('');
  view.sound.srcObject = null;
  view.sound.muted = false;
}

function toggleMute() {
  if (view.mute.disabled) return;
  happen({ type: 'mute', on: !call.muted });
  if (track) track.enabled = !call.muted;
  connection?.setSending(track?.readyState === 'live' && !call.muted);
}

/** @param {SubmitEvent} event */
function submit(event) {
  event.preventDefault();
  const text = view.text.value.trim();
  if (!text || !connection?.send(sendText(text))) return;
  view.text.value = '';
  captions.draw(transcript.typed(text));
  happen({ type: 'typed' });
}

/** @param {KeyboardEvent} event */
function press(event) {
  const { target, key, ctrlKey, metaKey, altKey, repeat } = event;
  const writes = target instanceof HTMLInputElement || target instanceof HTMLSelectElement;
  if (writes || ctrlKey || metaKey || altKey || repeat || key.toLowerCase() !== 'm') return;
  toggleMute();
}

/** Before the call: which voice would answer? Without an answer the page stays silent about it. */
async function askWho() {
  try {
    const health = await new Signalling(BASE, token()).health();
    view.showVoice(String(health.modelName ?? ''), String(health.model ?? ''));
  } catch {
    // The relay may be restarting; pressing the button will tell.
  }
}

view.start.addEventListener('click', () => void start(false));
view.startTyping.addEventListener('click', () => void start(true));
view.end.addEventListener('click', hangUp);
view.mute.addEventListener('click', toggleMute);
view.camera.addEventListener('click', () => void eyes.camera.toggle());
view.screen.addEventListener('click', () => void eyes.screen.toggle());
view.typing.addEventListener('submit', submit);
view.playSound.addEventListener('click', () => {
  meter.wake();
  view.sound.play().then(() => { view.playSound.hidden = true; }, () => {});
});
document.addEventListener('keydown', press);
window.addEventListener('pagehide', () => {
  connection?.goodbye();
  if (isActive(call)) happen({ type: 'fail', problem: { code: 'left' } });
});
window.setInterval(() => happen({ type: 'tick' }), TICK_MS);

const trouble = obstacle();
if (trouble) happen({ type: 'fail', problem: trouble });
else meter.show('idle', false);
void askWho();
