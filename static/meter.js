/** The disc: one voice at a time, drawn at the pace of its level. Colour comes from the style sheet, by state. */

/** Levels between these, dBFS, span the disc's breath. */
const QUIET_DB = -55;
const LOUD_DB = -12;
/** Share of the way to a louder, or a quieter, level that one frame goes. */
const RISE = 0.5;
const FALL = 0.12;

/** @typedef {import('./call.js').StateName} StateName */
/** @typedef {'still'|'hollow'|'dashed'|'ear'|'filled'} Look */
/** @type {Record<StateName, Look>} */
const LOOKS = {
  idle: 'still', asking: 'hollow', connecting: 'hollow', listening: 'ear', hearing: 'filled', thinking: 'hollow',
  speaking: 'filled', reconnecting: 'dashed', ending: 'hollow', ended: 'hollow', error: 'hollow',
};

export class Meter {
  /** @type {AudioContext|null} */ #audio = null;
  /** @type {AnalyserNode|null} */ #mine = null;
  /** @type {AnalyserNode|null} */ #theirs = null;
  /** @type {MediaStreamAudioSourceNode|null} */ #mineSource = null;
  /** @type {MediaStreamAudioSourceNode|null} */ #theirsSource = null;
  /** @type {StateName} */ #state = 'idle';
  /** @type {Look} */ #look = 'still';
  #samples = new Float32Array(1024);
  #level = 0;
  #frame = 0;
  #colour = '';

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {HTMLElement} number what remains of the motion for those who asked for none
   */
  constructor(canvas, number) {
    this.canvas = canvas;
    this.number = number;
    this.still = matchMedia('(prefers-reduced-motion: reduce)');
    for (const query of ['(prefers-color-scheme: dark)', '(forced-colors: active)', '(prefers-contrast: more)']) {
      matchMedia(query).addEventListener('change', () => this.#repaint());
    }
    new ResizeObserver(() => this.#fit()).observe(canvas);
  }

  /** Owes nothing but a person's gesture before it. */
  wake() {
    this.#audio ??= new AudioContext();
    void this.#audio.resume();
  }

  /** @param {MediaStreamTrack|null} track */
  mine(track) {
    this.#mineSource?.disconnect();
    [this.#mineSource, this.#mine] = this.#tap(track ? new MediaStream([track]) : null);
  }

  /** @param {MediaStream|null} stream */
  theirs(stream) {
    this.#theirsSource?.disconnect();
    [this.#theirsSource, this.#theirs] = this.#tap(stream);
  }

  /** @param {MediaStream|null} stream @returns {[MediaStreamAudioSourceNode|null, AnalyserNode|null]} */
  #tap(stream) {
    if (!stream || !this.#audio) return [null, null];
    const source = this.#audio.createMediaStreamSource(stream);
    const analyser = this.#audio.createAnalyser();
    analyser.fftSize = this.#samples.length;
    source.connect(analyser);
    return [source, analyser];
  }

  /** @param {StateName} state @param {boolean} deaf no microphone is listening */
  show(state, deaf) {
    this.#state = state;
    this.#look = deaf && state === 'listening' ? 'hollow' : LOOKS[state];
    this.#repaint();
    if (this.#moves && !this.#frame) this.#frame = requestAnimationFrame(() => this.#tick());
  }

  get #moves() {
    return this.#look === 'ear' || this.#look === 'filled';
  }

  #tick() {
    const heard = loudness(this.#state === 'speaking' ? this.#theirs : this.#mine, this.#samples);
    this.#level += (heard - this.#level) * (heard > this.#level ? RISE : FALL);
    const text = String(Math.round(this.#level * 100));
    if (this.number.textContent !== text) this.number.textContent = text;
    this.#draw();
    this.#frame = this.#moves ? requestAnimationFrame(() => this.#tick()) : 0;
    if (!this.#moves) this.#level = 0;
  }

  #fit() {
    const scale = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(this.canvas.clientWidth * scale);
    this.canvas.height = Math.round(this.canvas.clientHeight * scale);
    this.#repaint();
  }

  #repaint() {
    this.#colour = getComputedStyle(this.canvas).color;
    this.#draw();
  }

  #draw() {
    const context = this.canvas.getContext('2d');
    const { width, height } = this.canvas;
    if (!context || !width) return;
    const look = this.#look;
    const level = this.still.matches ? 0.3 : this.#level;
    const size = Math.min(width, height);
    const thin = size / 130;
    const rest = size * 0.3;
    context.clearRect(0, 0, width, height);
    context.strokeStyle = context.fillStyle = this.#colour;
    context.lineWidth = thin;
    context.setLineDash(look === 'dashed' ? [size * 0.035, size * 0.035] : []);
    if (look === 'hollow' || look === 'dashed') return this.#ring(context, rest);
    if (look === 'still') return this.#disc(context, rest, 1, size * 0.06);
    if (look === 'ear') {
      const radius = rest * (0.94 + 0.31 * level);
      this.#disc(context, radius, 0.1 + 0.25 * level, 0);
      return this.#ring(context, radius);
    }
    return this.#disc(context, rest * (0.94 + 0.36 * level), 1, size * (0.06 + 0.08 * level));
  }

  /** @param {CanvasRenderingContext2D} context @param {number} radius */
  #circle(context, radius) {
    context.beginPath();
    context.arc(this.canvas.width / 2, this.canvas.height / 2, radius, 0, 2 * Math.PI);
  }

  /** @param {CanvasRenderingContext2D} context @param {number} radius */
  #ring(context, radius) {
    this.#circle(context, radius);
    context.stroke();
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {number} radius
   * @param {number} alpha
   * @param {number} softness of the shadow, the only one on the page
   */
  #disc(context, radius, alpha, softness) {
    context.globalAlpha = alpha;
    context.shadowColor = this.#colour;
    context.shadowBlur = softness;
    this.#circle(context, radius);
    context.fill();
    context.shadowBlur = 0;
    context.globalAlpha = 1;
  }
}

/** 0 (nothing) to 1 (loud). @param {AnalyserNode|null} analyser @param {Float32Array<ArrayBuffer>} samples */
function loudness(analyser, samples) {
  if (!analyser) return 0;
  analyser.getFloatTimeDomainData(samples);
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  const decibels = 10 * Math.log10(sum / samples.length + 1e-10);
  return Math.min(1, Math.max(0, (decibels - QUIET_DB) / (LOUD_DB - QUIET_DB)));
}
