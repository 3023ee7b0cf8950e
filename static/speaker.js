/** The model's voice, on the loudspeaker of this page. */

export class Speaker {
  /** @param {import('./view.js').View} view @param {import('./meter.js').Meter} meter */
  constructor(view, meter) {
    this.view = view;
    this.meter = meter;
  }

  /** @param {MediaStream} stream */
  play(stream) {
    this.view.sound.srcObject = stream;
    this.meter.theirs(stream);
    void this.unmute();
  }

  /** Browsers may want a person to press a button first. */
  async unmute() {
    this.meter.wake();
    const refused = await this.view.sound.play().catch((error) => error?.name === 'NotAllowedError');
    this.view.playSound.hidden = !refused;
  }

  hush() {
    this.view.sound.muted = true;
  }

  /** The voice is gone; the next one is heard. */
  release() {
    this.meter.theirs(null);
    this.view.sound.srcObject = null;
    this.view.sound.muted = false;
  }
}
