/**
 * The conversation as a play script: turns in order, each with what was said, what is only guessed (interim), what is
 * still to be spoken (ahead), and what an interruption cut off (struck); and beside the model's words, whether it used
 * tools and where it read. No DOM; captions.js draws it.
 *
 * Gemini gives text in chunks without word times. `bot-llm-text` runs ahead of the voice, `bot-output` keeps pace with
 * it, so the place in the text is found by counting letters: spaces may differ between the two, letters do not.
 */

import { dropLetters, join, letters } from './letters.js';

/**
 * @typedef {object} Turn
 * @property {number} id
 * @property {'user'|'model'} who
 * @property {string[]} said       final text, only ever appended to, but for
 * @property {number} corrections   times that somebody who heard better has replaced some of it
 * @property {string} interim      the user's words so far, may still change
 * @property {string} ahead        the model's words not spoken yet
 * @property {string} struck       the model's words that an interruption cut off
 * @property {boolean} interrupted
 * @property {boolean} closed
 * @property {boolean} written     its text comes by itself, ahead of the voice
 * @property {boolean} generated   the model has sent the whole text
 * @property {boolean} stopped     the voice has fallen silent since
 * @property {Map<string, number>} counted letters already counted as spoken, by segment
 * @property {Set<string>} tools   calls of tools that still run
 * @property {boolean} used        a tool has answered
 * @property {import('./rtvi.js').Source[]} sources
 */

/** @typedef {import('./rtvi.js').Incoming} Incoming */

export class Transcript {
  constructor() {
    /** @type {Turn[]} */
    this.turns = [];
    /** @type {Turn|null} */
    this.user = null;
    /** @type {Turn|null} */
    this.model = null;
    this.hearsActivity = false;
    /** @type {string[]} */
    this.typedTexts = [];
  }

  /**
   * Take one message in. Returns the turns that look different now.
   * @param {Incoming} event
   * @returns {Turn[]}
   */
  apply(event) {
    switch (event.kind) {
      case 'user-speaking': return event.on ? this.#userStarts() : [];
      case 'user-text': return event.final ? this.#userFinal(event.text) : this.#userInterim(event.text);
      case 'bot-llm': return event.on ? this.#replyStarts() : this.#replyGenerated();
      case 'bot-text': return this.#textAhead(event.text);
      case 'bot-output': return this.#spoken(event);
      case 'bot-speaking': return event.on ? this.#voiceStarts() : this.#voiceStops();
      case 'interrupted': return this.#interrupt();
      case 'tool': return event.state === 'running' ? this.#toolBegins(event.id) : this.#toolEnds(event.id, event.state);
      case 'sources': return this.#read(event.sources);
      case 'corrected': return this.#correct(event);
      case 'history': return this.#restore(event.turns);
      default: return [];
    }
  }

  /** What was said before this page was there. An answer that is being given goes on. @param {import('./rtvi.js').Told[]} told */
  #restore(told) {
    return told.map(({ who, text, over, interrupted, continues }) => {
      const last = this.turns.at(-1);
      const turn = continues && last ? last : this.#add(who);
      turn.said.push(text);
      turn.interrupted = interrupted;
      turn.closed = over || interrupted || who === 'user';
      if (!turn.closed) this.model = turn;
      return turn;
    });
  }

  /**
   * Better words for a turn that is over. What is not there any more, or not yet, is left as it is.
   * @param {{who: 'user'|'model', was: string, text: string}} better
   */
  #correct({ who, was, text }) {
    const known = letters(was);
    if (!known || !text) return [];
    for (const turn of this.turns.toReversed()) {
      if (turn.who !== who) continue;
      const piece = turn.said.findIndex((said) => letters(said) === known);
      if (piece >= 0) turn.said[piece] = piece > 0 ? ` ${text}` : text;
      else if (letters(turn.said.join('')) === known) turn.said = [text];
      else continue;
      turn.corrections += 1;
      return [turn];
    }
    return [];
  }

  /** What the person typed is final at once. A relay may echo it before it answers; the echo is dropped. @param {string} text */
  typed(text) {
    this.typedTexts.push(text);
    if (this.typedTexts.length > 8) this.typedTexts.shift();
    const turn = this.#add('user');
    turn.said.push(text);
    return [turn];
  }

  #userStarts() {
    this.hearsActivity = true;
    const last = this.turns.at(-1);
    if (!last || last !== this.user) this.user = this.#add('user');
    return [];
  }

  /** @returns {Turn} */
  #userTurn() {
    const last = this.turns.at(-1);
    if (!this.user || (!this.hearsActivity && last !== this.user)) this.user = this.#add('user');
    return this.user;
  }

  /** @param {string} text */
  #userInterim(text) {
    if (!text.trim() && !this.user?.interim) return [];
    const turn = text.trim() || !this.user ? this.#userTurn() : this.user;
    turn.interim = text.trim() && join(turn.said.join(''), text);
    return [turn];
  }

  /** @param {string} text */
  #userFinal(text) {
    const echo = this.typedTexts.findIndex((typed) => letters(typed) === letters(text));
    if (echo >= 0) {
      this.typedTexts.splice(echo, 1);
      return [];
    }
    const turn = this.#userTurn();
    turn.interim = '';
    if (text.trim()) turn.said.push(join(turn.said.join(''), text.trim()));
    return [turn];
  }

  /** The open turn of the model; a new one if the person has said something since. */
  #modelTurn() {
    const since = this.model ? this.turns.slice(this.turns.indexOf(this.model) + 1) : [];
    const answered = since.some((turn) => turn.said.length > 0 || turn.interim);
    if (this.model && !this.model.closed && !answered) return this.model;
    this.model = this.#add('model');
    return this.model;
  }

  #replyStarts() {
    this.typedTexts = [];
    if (!this.model || this.model.closed) return [];
    this.model.generated = false;
    return [];
  }

  #replyGenerated() {
    if (!this.model || this.model.closed) return [];
    this.model.generated = true;
    return this.#closeIfDone();
  }

  /** @param {string} text */
  #textAhead(text) {
    if (!text) return [];
    this.typedTexts = [];
    const old = this.model;
    const turn = this.#modelTurn();
    const before = turn.said.join('') + turn.ahead;
    turn.written = true;
    turn.ahead += /[.!?…]$/.test(before) && /^\p{Lu}/u.test(text) ? ` ${text}` : text;
    return this.#andClosed(old, turn);
  }

  /** @param {import('./rtvi.js').BotOutput} output */
  #spoken(output) {
    const open = this.model && !this.model.closed ? this.model : null;
    if (output.status !== 'new' && !open?.counted.has(output.segment)) return [];
    const old = this.model;
    const turn = this.#modelTurn();
    if (output.ahead) {
      if (!turn.written) turn.ahead += join(turn.said.join('') + turn.ahead, output.text);
      turn.counted.set(output.segment, 0);
    } else {
      const text = output.status === 'in-progress' ? output.spokenText ?? '' : output.text;
      const already = output.segment ? turn.counted.get(output.segment) ?? 0 : 0;
      advance(turn, dropLetters(text, already));
      if (output.segment) turn.counted.set(output.segment, Math.max(already, letters(text).length));
    }
    return this.#andClosed(old, turn);
  }

  /** @param {string} id */
  #toolBegins(id) {
    const old = this.model;
    const turn = this.#modelTurn();
    turn.tools.add(id);
    return this.#andClosed(old, turn);
  }

  /** @param {string} id @param {'done'|'cancelled'} state */
  #toolEnds(id, state) {
    const turn = this.turns.findLast((candidate) => candidate.tools.has(id));
    if (!turn) return [];
    turn.tools.delete(id);
    turn.used ||= state === 'done';
    return [turn];
  }

  /** @param {import('./rtvi.js').Source[]} sources */
  #read(sources) {
    const turn = this.model ?? this.#modelTurn();
    turn.sources.push(...sources.filter(({ address }) => turn.sources.every((known) => known.address !== address)));
    return [turn];
  }

  #voiceStarts() {
    if (this.model) this.model.stopped = false;
    return [];
  }

  #voiceStops() {
    if (!this.model || this.model.closed) return [];
    this.model.stopped = true;
    return this.#closeIfDone();
  }

  #closeIfDone() {
    const turn = this.model;
    return turn && turn.generated && turn.stopped ? close(turn) : [];
  }

  #interrupt() {
    const turn = this.model;
    if (!turn || turn.closed) return [];
    turn.struck = turn.ahead;
    turn.ahead = '';
    turn.interrupted = true;
    turn.closed = true;
    return [turn];
  }

  /** A turn that gave way to the next one was spoken to its end. @param {Turn|null} old @param {Turn} turn */
  #andClosed(old, turn) {
    return old && old !== turn && !old.closed ? [...close(old), turn] : [turn];
  }

  /** @param {'user'|'model'} who @returns {Turn} */
  #add(who) {
    const turn = {
      id: this.turns.length, who, said: [], corrections: 0, interim: '', ahead: '', struck: '', interrupted: false,
      closed: false, written: false, generated: false, stopped: false, counted: new Map(),
      tools: new Set(), used: false, sources: [],
    };
    this.turns.push(turn);
    return turn;
  }
}

/** One line for each turn. @param {Turn[]} turns */
export function plainText(turns) {
  const lines = turns.map(({ who, said, interrupted }) => {
    const text = said.join('').replace(/\s+/g, ' ').trim();
    return text && `${who === 'user' ? 'User' : 'Assistant'}: ${text}${interrupted ? ' —' : ''}\n`;
  });
  return lines.join('');
}

/** @param {Turn} turn @returns {Turn[]} */
function close(turn) {
  if (turn.ahead) turn.said.push(turn.ahead);
  turn.ahead = '';
  turn.closed = true;
  return [turn];
}

/**
 * Move `text` from what is ahead to what was said; what the page did not know about is taken as it comes.
 * @param {Turn} turn
 * @param {string} text
 */
function advance(turn, text) {
  const wanted = letters(text).length;
  if (!wanted) return;
  let end = 0;
  let passed = 0;
  while (end < turn.ahead.length && (passed < wanted || /\s/.test(turn.ahead[end] ?? ''))) {
    if (!/\s/.test(turn.ahead[end] ?? '')) passed += 1;
    end += 1;
  }
  let piece = turn.ahead.slice(0, end);
  turn.ahead = turn.ahead.slice(end);
  if (passed < wanted) piece += join(turn.said.join('') + piece, dropLetters(text, passed));
  turn.said.push(piece);
}
