/** What the page shows for a call: every element's words and visibility follow from the state, in one place. */

import { canMute, isActive, isLive, stateName, words } from './call.js';
import { costInWords } from './cost.js';
import { countdown } from './notices.js';
import { explain } from './problems.js';
import { isMirrored } from './sight.js';

/** @typedef {import('./call.js').Call} Call */

/**
 * @template {Element} T
 * @param {string} id
 * @param {new (...args: any[]) => T} type
 * @returns {T}
 */
export function element(id, type) {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`#${id} is missing`);
  return found;
}

export class View {
  state = element('state', HTMLElement);
  voice = element('voice-name', HTMLElement);
  cost = element('cost', HTMLElement);
  captions = element('captions', HTMLElement);
  what = element('problem-what', HTMLElement);
  next = element('problem-next', HTMLElement);
  notice = { what: element('notice-what', HTMLElement), next: element('notice-next', HTMLElement) };
  noticeTime = element('notice-time', HTMLElement);
  stillHere = element('still-here', HTMLButtonElement);
  transcript = element('transcript-button', HTMLButtonElement);
  transcriptPanel = element('transcript-panel', HTMLElement);
  saveText = element('save-text', HTMLButtonElement);
  saveVtt = element('save-vtt', HTMLButtonElement);
  gate = element('gate', HTMLElement);
  lede = element('lede', HTMLElement);
  goBack = element('return', HTMLButtonElement);
  start = element('start', HTMLButtonElement);
  startTyping = element('start-typing', HTMLButtonElement);
  playSound = element('play-sound', HTMLButtonElement);
  typing = element('typing', HTMLFormElement);
  text = element('text', HTMLInputElement);
  send = element('send', HTMLButtonElement);
  controls = element('controls', HTMLElement);
  mute = element('mute', HTMLButtonElement);
  end = element('end', HTMLButtonElement);
  sound = element('sound', HTMLAudioElement);
  canvas = element('disc', HTMLCanvasElement);
  level = element('level', HTMLElement);
  microphone = element('microphone', HTMLSelectElement);
  speaker = element('speaker', HTMLSelectElement);
  speakerRow = element('speaker-row', HTMLElement);
  cameras = element('cameras', HTMLSelectElement);
  camerasRow = element('cameras-row', HTMLElement);
  camera = element('camera', HTMLButtonElement);
  screen = element('screen', HTMLButtonElement);
  secureLink = element('secure-link', HTMLAnchorElement);
  phone = element('phone-button', HTMLButtonElement);
  phonePanel = element('phone-panel', HTMLElement);
  phoneCode = element('phone-code', SVGElement);
  #phoneHow = element('phone-how', HTMLElement);
  #phoneAddress = element('phone-address', HTMLElement);
  #phoneWarning = element('phone-warning', HTMLElement);
  #phoneFingerprint = element('phone-fingerprint', HTMLElement);
  selfViews = { camera: element('camera-view', HTMLVideoElement), screen: element('screen-view', HTMLVideoElement) };
  #voice = '';
  #local = '';
  #insecure = false;

  /** @param {Call} call @param {boolean} hasCaptions @param {boolean} returns may it be taken up again? */
  show(call, hasCaptions, returns) {
    const root = document.documentElement;
    const active = isActive(call);
    root.dataset.state = stateName(call);
    root.dataset.muted = String(call.muted);
    put(this.state, words(call));
    this.captions.hidden = !(isLive(call) || hasCaptions);
    this.gate.hidden = active;
    this.lede.hidden = call.phase !== 'idle';
    root.dataset.offersReturn = String(returns);
    this.goBack.hidden = !returns;
    put(this.goBack, call.problem?.code === 'replaced' ? 'Take the call back' : 'Take the call up again');
    put(this.start, call.phase === 'idle' ? 'Start talking' : returns ? 'Start a new call' : 'Start again');
    this.transcript.hidden = !hasCaptions;
    if (!hasCaptions) this.transcriptPanel.hidePopover?.();
    this.controls.hidden = !active;
    this.typing.hidden = !isLive(call);
    this.text.disabled = this.send.disabled = call.phase !== 'live';
    this.mute.disabled = !canMute(call);
    this.end.disabled = call.phase === 'ending';
    this.mute.setAttribute('aria-pressed', String(call.muted));
    if (!isLive(call)) this.playSound.hidden = true;
    this.#showProblem(call);
  }

  /** @param {Call} call @param {import('./eyes.js').Eye} eye */
  showEye(call, { kind, possible, track }) {
    const button = this[kind];
    const selfView = this.selfViews[kind];
    button.hidden = !possible;
    button.disabled = !isLive(call);
    button.setAttribute('aria-pressed', String(track !== null));
    selfView.hidden = track === null;
    selfView.classList.toggle('mirrored', track !== null && isMirrored(kind, track.getSettings()));
    const [shown = null] = selfView.srcObject instanceof MediaStream ? selfView.srcObject.getTracks() : [];
    if (shown !== track) selfView.srcObject = track && new MediaStream([track]);
  }

  /** What ended the call. @param {Call} call */
  #showProblem(call) {
    const problem = call.problem && explain(call.problem);
    this.start.hidden = Boolean(problem?.hopeless);
    this.#insecure = call.problem?.code === 'insecure';
    this.startTyping.hidden = !(call.phase === 'error' && problem?.canType);
    put(this.what, problem?.what ?? '');
    put(this.next, problem?.next ?? '');
    this.#showSecureLink();
  }

  /** Where this page is to be had over HTTPS. @param {string} address */
  showSecure(address) {
    this.secureLink.href = address;
    this.#showSecureLink();
  }

  /** A page without HTTPS has no microphone; where it knows a way out, that is the next step. */
  #showSecureLink() {
    const leads = this.#insecure && this.secureLink.href !== '';
    this.secureLink.hidden = !leads;
    if (leads) put(this.next, '');
  }

  /**
   * The way in for a phone; its code is drawn.
   * @param {string} host
   * @param {boolean} local is it of use only in the same network?
   * @param {string} fingerprint of a certificate that browsers warn of, or ''
   */
  showInvitation(host, local, fingerprint) {
    put(this.#phoneHow, `Scan this with a phone${local ? ' on the same network' : ''}. It lets in whoever scans it.`);
    put(this.#phoneAddress, host);
    put(this.#phoneFingerprint, fingerprint.replaceAll(':', ' '));
    this.phoneCode.toggleAttribute('hidden', false);
    this.#phoneAddress.hidden = false;
    this.#phoneWarning.hidden = fingerprint === '';
  }

  /** @param {string} why */
  showNoInvitation(why) {
    put(this.#phoneHow, why);
    this.phoneCode.toggleAttribute('hidden', true);
    this.#phoneAddress.hidden = this.#phoneWarning.hidden = true;
  }

  /** What is worth saying while the call goes on. @param {import('./notices.js').Notice|null} notice @param {number} now */
  showNotice(notice, now) {
    put(this.notice.what, notice?.what ?? '');
    put(this.notice.next, notice?.next ?? '');
    const ends = notice?.ends ?? null;
    put(this.noticeTime, ends === null ? '' : countdown(ends, now));
    this.noticeTime.hidden = ends === null;
    this.stillHere.hidden = !notice?.stillHere;
  }

  /** What the call has cost so far, where the relay says it. @param {import('./cost.js').Cost|null} cost */
  showCost(cost) {
    put(this.cost, cost ? costInWords(cost) : '');
  }

  /**
   * Which voice answers, in words.
   * @param {string} name of the model, or ''
   * @param {string} [model] which kind of voice; the last one known if the relay does not say
   * @param {string} [local] how the local voice is: starting, ready, off, or a sentence about what is missing
   */
  showVoice(name, model = this.#voice, local = this.#local) {
    this.#local = local;
    this.#voice = model;
    const named = name ? ` · ${name.replace(/^models\//, '')}` : '';
    if (model === 'gemini') put(this.voice, `Gemini Live${named}`);
    else if (model === 'local') put(this.voice, localVoice(local));
    else if (model === 'url') put(this.voice, `A model of the owner’s choice${named}`);
  }
}

/** @param {string} how */
function localVoice(how) {
  if (how === 'starting' || how === 'ready') return 'The local voice answers: no key, no internet, English only';
  const missing = how && how !== 'off' ? ` ${how}` : '';
  return `The stand-in answers: it says your own words back.${missing}`;
}

/** Writes only what differs, so that live regions stay quiet. @param {HTMLElement} target @param {string} text */
function put(target, text) {
  if (target.textContent !== text) target.textContent = text;
}
