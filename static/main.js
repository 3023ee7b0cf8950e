/** The page: what its buttons and its keys do. */

import * as caller from './caller.js';
import { welcome } from './welcome.js';

/** How often it is looked whether something is overdue, ms. */
const TICK_MS = 250;

const { view } = caller;

/** @param {HTMLElement} button @param {() => unknown} act */
function on(button, act) {
  button.addEventListener('click', () => void act());
}

/** @param {SubmitEvent} event */
function submit(event) {
  event.preventDefault();
  const text = view.text.value.trim();
  if (text && caller.write(text)) view.text.value = '';
}

/** @param {KeyboardEvent} event */
function press(event) {
  const { target, key, ctrlKey, metaKey, altKey, repeat } = event;
  const writes = target instanceof HTMLInputElement || target instanceof HTMLSelectElement;
  if (writes || ctrlKey || metaKey || altKey || repeat || key.toLowerCase() !== 'm') return;
  caller.toggleMute();
}

on(view.start, () => caller.start(false));
on(view.startTyping, () => caller.start(true));
on(view.goBack, caller.takeUp);
on(view.end, caller.hangUp);
on(view.mute, caller.toggleMute);
on(view.camera, () => caller.showOrHide('camera'));
on(view.screen, () => caller.showOrHide('screen'));
on(view.stillHere, caller.stillHere);
on(view.saveText, () => caller.saveTranscript('text'));
on(view.saveVtt, () => caller.saveTranscript('vtt'));
on(view.playSound, caller.unmute);
view.typing.addEventListener('submit', submit);
document.addEventListener('keydown', press);
window.addEventListener('pagehide', caller.leave);
window.addEventListener('pageshow', ({ persisted }) => { if (persisted) caller.arrive(); });
window.setInterval(caller.tick, TICK_MS);

void welcome(view, caller.signalling());
caller.arrive();
