/**
 * One conversation with the relay, seen from the wire: HTTP for signalling, one peer connection after another for sound
 * and words. An ordinary SmallWebRTC client. It holds no state of the call's; it reports what happens.
 */

import { ATTEMPT_MS, KNOCK_MS, look, newPath, nextLook, PATH_MS, PAUSE_MS, pings, restartWait, STIR_MS } from './path.js';
import { Peer } from './peer.js';
import { Probe } from './probe.js';
import { clientReady, disconnectBot, newId, ping, sendText, trackStatus } from './rtvi.js';
import { KINDS, RECEIVERS } from './sight.js';
import { ConnectionError } from './signalling.js';
import { Ways } from './ways.js';
import { listenToTheWorld } from './world.js';

/** @typedef {import('./call.js').Problem} Problem */
/** @typedef {import('./signalling.js').Pass} Pass */
/** @typedef {import('./sight.js').Kind} Kind */
/**
 * @typedef {object} Listener
 * @property {(pass: Pass) => void} admitted   this opens the session from now on
 * @property {(data: unknown) => void} message   a frame from the data channel
 * @property {(stream: MediaStream) => void} sound   the model's voice
 * @property {(kind: Kind, takes: boolean) => void} sees   does the relay take these pictures?
 * @property {() => void} stalled   nothing arrives any more
 * @property {() => void} recovered
 * @property {(problem: Problem) => void} over   the relay has no such call any more
 * @property {(problem: Problem) => void} failed
 */

export class Connection {
  /** @type {Peer|null} */ #peer = null;
  /** @type {MediaStreamTrack|null} */ #track;
  /** @type {Map<Kind, MediaStreamTrack>} */ #shown = new Map();
  /** @type {string|null} */ #session = null;
  /** @type {string|null} */ #pcId = null;
  /** @type {number[]} When connections were made anew. */ #restarts = [];
  #path = newPath(0);
  #abort = new AbortController();
  #sending = true;
  #timer = 0;
  #lost = false;
  #answered = false;
  #recovering = false;

  /**
   * @param {import('./signalling.js').Signalling} signalling
   * @param {MediaStreamTrack|null} track the microphone, or null in a call by typing
   * @param {Listener} listener
   * @param {import('./post.js').Post} post what was typed in the session, and may not have arrived
   * @param {Pass|null} [pass] to a session that there is already
   */
  constructor(signalling, track, listener, post, pass = null) {
    this.signalling = signalling;
    this.listener = listener;
    this.post = post;
    this.pass = pass;
    this.ways = new Ways(signalling);
    this.probe = new Probe((signal, credentials) => signalling.there(signal, credentials));
    this.#track = track;
    this.#sending = track !== null;
  }

  /** From nothing to an open data channel, with `client-ready` sent. Throws ConnectionError. */
  async open() {
    const { signal } = this.#abort;
    const answer = await (this.pass ? this.signalling.resume(this.pass, signal) : this.signalling.start(signal));
    const session = answer.sessionId ?? answer.session_id;
    if (typeof session !== 'string') throw new ConnectionError({ code: 'bad-answer' });
    this.#session = session;
    if (typeof answer.resumeSecret === 'string') this.listener.admitted({ session, secret: answer.resumeSecret });
    if (typeof answer.pc_id === 'string') this.#pcId = answer.pc_id;
    this.ways.learn(answer);
    if (signal.aborted) return;
    try {
      await this.#connect(this.#pcId !== null, AbortSignal.any([signal, AbortSignal.timeout(PATH_MS)]));
    } catch (error) {
      throw this.#closed ? error : await this.ways.explained(session, error);
    }
    this.send(clientReady({ library: 'gemini-webrtc-relay-page', library_version: '1', platform: navigator.platform }));
    this.#resend();
    listenToTheWorld(() => this.#hurry(), signal);
    void this.#look();
  }

  /** @param {string} text @returns {boolean} whether it could be sent */
  send(text) {
    return this.#peer?.send(text) ?? false;
  }

  /**
   * Send typed words; what a dead path swallows is sent again on the next.
   * @param {string} text @param {boolean} answered or only remembered @returns {boolean} whether they are on their way
   */
  write(text, answered) {
    const letter = { id: newId(), text, answered };
    if (!this.send(sendText(letter)) && !this.#recovering) return false;
    this.post.add(letter);
    return true;
  }

  #resend() {
    for (const letter of this.post.letters) this.send(sendText(letter, true));
  }

  /** Put another microphone in the place of the old one, without a new call. @param {MediaStreamTrack|null} track */
  async replaceTrack(track) {
    this.#track = track;
    await this.#plug();
  }

  /** Tell the relay whether the microphone sends. @param {boolean} sending */
  setSending(sending) {
    this.#sending = sending;
    void this.#plug();
    this.send(trackStatus(0, sending));
  }

  /** Show the model these pictures, or none any more. @param {Kind} kind @param {MediaStreamTrack|null} track */
  show(kind, track) {
    if (track) this.#shown.set(kind, track);
    else this.#shown.delete(kind);
    void this.#peer?.pictures.show(kind, track);
    this.send(trackStatus(RECEIVERS[kind], track !== null));
  }

  async #plug() {
    await this.#peer?.plug(this.#sending ? this.#track : null);
  }

  /** Ask the relay to hang up. It answers `peerLeft`; the caller then owes `close()`. */
  hangUp() {
    return !this.#troubled && this.send(disconnectBot());
  }

  /** Let the relay forget the session, and what was said in it; survives the closing of the page. @param {string} [secret] */
  goodbye(secret = '') {
    if (this.#session) this.signalling.goodbye(this.#session, secret);
    this.#session = null;
  }

  /** Leave without a word: whoever has the pass may come back. */
  close() {
    this.#abort.abort();
    window.clearTimeout(this.#timer);
    this.#peer?.close();
    this.#peer = null;
  }

  get #closed() {
    return this.#abort.signal.aborted;
  }

  get #troubled() {
    return this.#lost || this.#path.stalled || (this.#peer?.failed ?? false);
  }

  /**
   * A new peer connection, up to its open data channel. The old one serves until then, here as at the relay.
   * @param {boolean} restart
   * @param {AbortSignal} signal
   */
  async #connect(restart, signal) {
    const peer = new Peer(this.ways.servers, this.#track, signal);
    try {
      await Promise.race([this.#negotiate(peer.pc, restart, signal), peer.opened]);
      await peer.opened;
      if (this.#closed) throw new ConnectionError({ code: 'no-path' });
    } catch (error) {
      peer.close();
      throw error;
    }
    this.#peer?.close();
    this.#peer = peer;
    this.#lost = false;
    this.#path = newPath(performance.now());
    if (!this.#sending) void this.#plug();
    if (peer.sound) this.listener.sound(peer.sound);
    this.#resume(peer);
    peer.serve({
      message: (data) => this.listener.message(data),
      lost: () => { if (peer === this.#peer) this.#lose(); },
      failed: () => void this.#recover(),
    });
  }

  /** Whatever was sent is sent on the new connection, too; first the relay says what it takes. @param {Peer} peer */
  #resume({ pictures }) {
    this.send(trackStatus(0, this.#sending));
    for (const kind of KINDS) {
      this.listener.sees(kind, pictures.taken(kind));
      const track = this.#shown.get(kind);
      if (track) void pictures.show(kind, track);
      this.send(trackStatus(RECEIVERS[kind], track !== undefined));
    }
  }

  /**
   * Offer and answer. The relay learns our addresses from our own checks, so nothing waits for candidates.
   * @param {RTCPeerConnection} pc
   * @param {boolean} restart
   * @param {AbortSignal} signal
   */
  async #negotiate(pc, restart, signal) {
    await pc.setLocalDescription();
    const offer = { sdp: pc.localDescription?.sdp, type: 'offer', pc_id: this.#pcId, restart_pc: restart };
    const answer = await this.signalling.offer(this.#session ?? '', offer, signal);
    if (typeof answer.pc_id === 'string') this.#pcId = answer.pc_id;
    try {
      await pc.setRemoteDescription({ type: 'answer', sdp: String(answer.sdp) });
    } catch {
      throw new ConnectionError({ code: 'bad-answer' });
    }
    this.ways.tell(pc, this.#session ?? '', this.#pcId, String(answer.sdp));
  }

  /** Show that we live, and see whether the relay does: it acknowledges pings, so something must arrive. */
  async #look() {
    window.clearTimeout(this.#timer);
    const peer = this.#peer;
    const signs = await peer?.signs() ?? -1;
    if (this.#closed) return;
    const now = performance.now();
    if (peer === this.#peer) this.#path = look(this.#path, signs, now);
    if (pings(this.#path, now, this.#answered)) {
      this.#path = { ...this.#path, pinged: now };
      this.send(ping(Date.now()));
    }
    if (this.#path.stalled) void this.#recover();
    window.clearTimeout(this.#timer); // another look may have been taken meanwhile
    this.#timer = window.setTimeout(() => void this.#look(), nextLook(this.#path) - now);
  }

  #hurry() {
    this.probe.hurry();
    if (document.visibilityState === 'visible') void this.#look();
  }

  /** This connection is over for good. */
  #lose() {
    this.#lost = true;
    void this.#recover();
  }

  /**
   * The path is dead, or seems so: as soon as the relay answers by the other way, and the path still does not stir, build
   * another connection in the same session, until one opens or the relay refuses.
   */
  async #recover() {
    if (this.#recovering || this.#closed) return;
    this.#recovering = true;
    this.listener.stalled();
    while (this.#troubled && !this.#closed) {
      this.#answered = false;
      const healed = new AbortController();
      const answer = this.probe.answered(AbortSignal.any([this.#abort.signal, healed.signal]));
      const credentials = await Promise.race([answer, this.#stirs()]);
      healed.abort();
      if (!this.#troubled || this.#closed) break;
      this.#answered = true;
      if (credentials) this.signalling.credentials = credentials;
      if (!this.#lost && !this.#peer?.failed) await pause(STIR_MS);
      if (!this.#troubled || this.#closed) break;
      const wait = restartWait(this.#restarts, performance.now());
      const refused = wait > 0 ? await pause(Math.min(wait, PAUSE_MS)) : await this.#restart();
      if (refused) return this.listener.over(refused);
    }
    this.#answered = this.#recovering = false;
    if (!this.#closed) this.listener.recovered();
  }

  /** The path heals by itself. */
  async #stirs() {
    do await pause(KNOCK_MS); while (this.#troubled && !this.#closed);
  }

  /**
   * One attempt; a second at once if the request broke off, as all do in Chromium when it notices a change of address.
   * @returns {Promise<Problem|void>} why there is no use in another
   */
  async #restart() {
    for (let tries = 2; tries && !restartWait(this.#restarts, performance.now()); tries -= 1) {
      this.#restarts.push(performance.now());
      const signal = AbortSignal.any([this.#abort.signal, AbortSignal.timeout(ATTEMPT_MS)]);
      try {
        if (this.#session) await this.ways.renew(this.#session, signal);
        await this.#connect(true, signal);
        return this.#resend();
      } catch (error) {
        const known = !this.#closed && error instanceof ConnectionError ? error : null;
        if (known?.final) return known.problem;
        if (tries === 1 || !known?.brokeOff || signal.aborted) return pause(PAUSE_MS);
      }
    }
  }
}

/** @param {number} ms @returns {Promise<void>} */
function pause(ms) {
  return new Promise((resolve) => { window.setTimeout(resolve, ms); });
}
