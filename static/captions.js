/**
 * Draws the transcript: one element per turn, text nodes only. A screen reader hears what is final, once: final text is
 * only ever appended, all else is hidden from it.
 */

/** @typedef {import('./transcript.js').Turn} Turn */
/** @typedef {{line: HTMLElement, final: HTMLElement, tail: HTMLElement, note: HTMLElement, drawn: number, corrections: number}} Line */

/** Within so many pixels of the end, the captions follow the conversation. */
const NEAR_PX = 60;
/** @type {Record<Turn['who'], string>} */
const NAMES = { user: 'You', model: 'Model' };

export class Captions {
  /** @type {Map<number, Line>} */ #lines = new Map();

  /** @param {HTMLElement} log */
  constructor(log) {
    this.log = log;
    this.follows = true;
    log.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    new ResizeObserver(() => this.#follow()).observe(log);
  }

  clear() {
    this.follows = true;
    this.#lines.clear();
    this.log.replaceChildren();
  }

  /** @param {Turn[]} turns those that changed */
  draw(turns) {
    for (const turn of turns) this.#drawTurn(turn);
    if (turns.length > 0) this.#follow();
  }

  #follow() {
    if (this.follows) this.log.scrollTop = this.log.scrollHeight;
  }

  /** Who scrolls back wants to read; who returns to the end wants to follow. */
  #scrolled() {
    this.follows = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < NEAR_PX;
    this.log.classList.toggle('scrolled', this.log.scrollTop > 2);
  }

  /** @param {Turn} turn */
  #drawTurn(turn) {
    const known = this.#lines.get(turn.id);
    const line = known ?? this.#line(turn);
    if (turn.said.length > 0 && line.drawn === 0) line.final.before(span('for-ears', `${NAMES[turn.who]}: `));
    if (line.corrections !== turn.corrections) {
      line.corrections = turn.corrections;
      line.final.textContent = '';
      line.drawn = 0;
    }
    for (; line.drawn < turn.said.length; line.drawn += 1) line.final.append(turn.said[line.drawn] ?? '');
    const tail = turn.interim || turn.ahead || turn.struck;
    line.tail.className = turn.interim ? 'interim' : turn.ahead ? 'unspoken' : turn.struck ? 'struck' : 'tail';
    if (line.tail.textContent !== tail) line.tail.textContent = tail;
    line.line.classList.toggle('interrupted', turn.interrupted);
    drawNote(line.note, turn);
    line.line.hidden = turn.said.length === 0 && !tail && line.note.hidden;
  }

  /** A new line in the place that the turn has in the conversation. @param {Turn} turn @returns {Line} */
  #line(turn) {
    const line = document.createElement('p');
    line.className = `caption ${turn.who}`;
    line.dataset.turn = String(turn.id);
    const who = span('who', NAMES[turn.who]);
    who.setAttribute('aria-hidden', 'true');
    const text = span('text', '');
    text.dir = 'auto';
    const final = span('final', '');
    const tail = span('tail', '');
    tail.setAttribute('aria-hidden', 'true');
    text.append(final, tail);
    const note = span('note', '');
    line.append(who, text, note);
    const after = [...this.#lines.keys()].filter((id) => id > turn.id).sort((a, b) => a - b)[0];
    this.log.insertBefore(line, after === undefined ? null : this.#lines.get(after)?.line ?? null);
    const made = { line, final, tail, note, drawn: 0, corrections: 0 };
    this.#lines.set(turn.id, made);
    return made;
  }
}

/**
 * A small line below the words: that a tool is used, and what was read. The addresses are checked in rtvi.js.
 * @param {HTMLElement} note
 * @param {Turn} turn
 */
function drawNote(note, turn) {
  const running = turn.tools.size > 0;
  const words = running ? 'Using a tool…' : turn.used ? 'Used a tool.' : '';
  note.hidden = !words && turn.sources.length === 0;
  if (note.dataset.shown === `${words}${turn.sources.length}`) return;
  note.dataset.shown = `${words}${turn.sources.length}`;
  const parts = turn.sources.map(({ title, address }) => {
    const link = document.createElement('a');
    link.href = address;
    link.target = '_blank';
    link.rel = 'noopener noreferrer';
    link.textContent = title;
    return link;
  });
  note.replaceChildren(words, ...parts.flatMap((link, index) => [index ? ' · ' : ' Read in ', link]));
}

/** @param {string} className @param {string} text */
function span(className, text) {
  const element = document.createElement('span');
  element.className = className;
  element.textContent = text;
  return element;
}
