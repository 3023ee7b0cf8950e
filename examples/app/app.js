// A voice app in forty lines, with Pipecat's official SDK and nothing else.
import { PipecatClient, RTVIEvent } from "@pipecat-ai/client-js";
import { SmallWebRTCTransport, WavMediaManager } from "@pipecat-ai/small-webrtc-transport";

const relay = new URLSearchParams(location.search).get("relay") ?? "http://127.0.0.1:7860";
const [button, state, lines, form, words] = document.querySelectorAll("#talk, #state, #lines, #type, #words");

// The SDK's default media manager loads a script from Daily's servers; this one takes the microphone by itself.
const client = new PipecatClient({ transport: new SmallWebRTCTransport({ mediaManager: new WavMediaManager() }) });

let turn = 0;
// One line for each turn and speaker.
function line(who) {
  if (lines.lastChild?.id === `${who}${turn}`) return lines.lastChild;
  return lines.appendChild(Object.assign(document.createElement("li"), { className: who, id: `${who}${turn}` }));
}

client.on(RTVIEvent.TransportStateChanged, (now) => {
  state.textContent = button.dataset.state = now;
  button.disabled = !["disconnected", "ready", "error"].includes(now);
});
client.on(RTVIEvent.Error, ({ data }) => (line("error").textContent = data.error ?? data.message));
client.on(RTVIEvent.UserTranscript, ({ text }) => (line("you").textContent = text));
client.on(RTVIEvent.BotOutput, (said) => said.spoken_status === "new" && line("bot").append(`${said.text} `));
client.on(RTVIEvent.BotStoppedSpeaking, () => turn++);
client.on(RTVIEvent.TrackStarted, (track, who) => {
  if (!who?.local) Object.assign(document.querySelector("audio"), { srcObject: new MediaStream([track]) }).play();
});

button.onclick = () => {
  if (client.connected) client.disconnect(); // else call; RTVIEvent.Error tells what goes wrong
  else client.startBotAndConnect({ endpoint: `${relay}/start`, requestData: {} }).catch(() => {});
};
form.onsubmit = (event) => {
  event.preventDefault();
  turn++;
  line("you").textContent = words.value;
  client.sendText(words.value);
  form.reset();
};
