// A page with one client of the official SDK, whose every event is written down. The tests drive it.
import * as sdk from "@pipecat-ai/client-js";
import { SmallWebRTCTransport, WavMediaManager } from "@pipecat-ai/small-webrtc-transport";
import { OwnMedia } from "./media.js";

const { PipecatClient, RTVIEvent, LogLevel } = sdk;
const MANAGERS = { wav: () => new WavMediaManager(), own: () => new OwnMedia(), screen: () => new OwnMedia({ screen: true }) };

const kit = {
  log: [], // [milliseconds of the page, event, what came with it]
  client: null,
  transport: null,

  // `media` names one of MANAGERS; `transport` and `client` are the constructors' own options.
  make({ media = "wav", transport = {}, client = {} } = {}) {
    this.transport = new SmallWebRTCTransport({ mediaManager: MANAGERS[media](), ...transport });
    this.client = new PipecatClient({ transport: this.transport, ...client });
    this.client.setLogLevel(LogLevel.NONE);
    for (const name of Object.values(RTVIEvent))
      this.client.on(name, (...args) => this.log.push([performance.now(), name, args.map(plain)]));
    this.client.on(RTVIEvent.TrackStarted, play);
  },

  // What a promise comes to: {value} or {error}.
  async attempt(run) {
    try {
      return { value: plain(await run()) };
    } catch (error) {
      return { error: plain(error) };
    }
  },
};

function plain(value) {
  if (value instanceof MediaStreamTrack) return { kind: value.kind, id: value.id };
  if (value instanceof Error) return { name: exported(value), message: value.message, status: value.status };
  if (typeof value === "function" || value === undefined) return null;
  return JSON.parse(JSON.stringify(value));
}

// The name under which the SDK exports an error's class; the class itself is called something minified.
function exported(error) {
  return Object.keys(sdk).find((name) => sdk[name] === error.constructor) ?? error.name;
}

function play(track, participant) {
  if (participant?.local || track.kind !== "audio") return;
  const audio = Object.assign(document.createElement("audio"), { srcObject: new MediaStream([track]) });
  document.body.append(audio);
  audio.play().catch(() => {}); // a page that nobody has touched may be told no
}

window.kit = kit;
