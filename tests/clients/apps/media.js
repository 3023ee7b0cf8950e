// A media manager of an app's own: the microphone of the machine, and drawings for camera and screen.

const DRAWN_FPS = 10;

export class OwnMedia {
  constructor({ screen = false } = {}) {
    this.supportsScreenShare = screen;
    this.isMicEnabled = true;
    this.isCamEnabled = false;
    this.isSharingScreen = false;
    this.local = {};
    this.given = []; // copies of them
  }

  setClientOptions(options) {
    this.callbacks = options.callbacks ?? {};
    this.isMicEnabled = options.enableMic ?? true;
    this.isCamEnabled = options.enableCam ?? false;
  }

  async initialize() {
    await this.connect();
  }

  async connect() {
    if (!this.local.audio) {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
      this.local.audio = stream.getAudioTracks()[0];
    }
    this.local.audio.enabled = this.isMicEnabled;
    this.local.video ??= drawing("camera");
    if (this.supportsScreenShare) this.local.screenVideo ??= drawing("screen");
  }

  async disconnect() {
    for (const track of [...Object.values(this.local), ...this.given]) track.stop();
    this.local = {};
    this.given = [];
  }

  // A transport that connects anew stops the tracks of the old connection: each time it gets copies of their own.
  tracks() {
    const copies = Object.entries(this.local).map(([kind, track]) => [kind, track.clone()]);
    this.given.push(...copies.map(([, track]) => track));
    return { local: Object.fromEntries(copies) };
  }

  enableMic(on) {
    this.isMicEnabled = on;
    for (const track of [this.local.audio, ...this.given]) if (track?.kind === "audio") track.enabled = on;
  }

  enableCam(on) {
    this.isCamEnabled = on;
  }

  enableScreenShare(on) {
    this.isSharingScreen = on;
  }

  get selectedMic() {
    return {};
  }
}

// 640×480, a colour that goes round, and the name of what it is.
function drawing(name) {
  const canvas = Object.assign(document.createElement("canvas"), { width: 640, height: 480 });
  const pen = canvas.getContext("2d");
  let hue = 0;
  setInterval(() => {
    pen.fillStyle = `hsl(${(hue += 3)} 80% 50%)`;
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.fillStyle = "black";
    pen.font = "64px sans-serif";
    pen.fillText(name, 40, 240);
  }, 1000 / DRAWN_FPS);
  return canvas.captureStream(DRAWN_FPS).getVideoTracks()[0];
}
