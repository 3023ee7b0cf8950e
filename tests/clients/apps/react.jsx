// An app as its authors would write it with the React SDK: a provider, a conversation, a button.
import { PipecatClient } from "@pipecat-ai/client-js";
import {
  PipecatClientAudio,
  PipecatClientProvider,
  usePipecatClient,
  usePipecatClientTransportState,
  usePipecatConversation,
} from "@pipecat-ai/client-react";
import { SmallWebRTCTransport, WavMediaManager } from "@pipecat-ai/small-webrtc-transport";
import { useState } from "react";
import { createRoot } from "react-dom/client";

const client = new PipecatClient({ transport: new SmallWebRTCTransport({ mediaManager: new WavMediaManager() }) });

function Conversation() {
  const { messages, injectMessage } = usePipecatConversation();
  const client = usePipecatClient();
  const [draft, setDraft] = useState("");
  window.transcript = messages.map(read);

  function send(event) {
    event.preventDefault();
    injectMessage({ role: "user", parts: [{ text: draft, final: true, createdAt: new Date().toISOString() }] });
    client.sendText(draft);
    setDraft("");
  }

  return (
    <>
      <ol>{window.transcript.map(({ role, text }, index) => <li key={index} className={role}>{text}</li>)}</ol>
      <form onSubmit={send}><input value={draft} onChange={(event) => setDraft(event.target.value)} /></form>
    </>
  );
}

// One message as a person reads it: who, what was said of it, what was not (yet), and which functions were called.
function read({ role, final, parts = [], functionCall }) {
  const said = parts.map(({ text }) => (typeof text === "string" ? text : text.spoken)).join("");
  const unsaid = parts.map(({ text }) => (typeof text === "string" ? "" : text.unspoken)).join("");
  return { role, final, said: said.trim(), unsaid: unsaid.trim(), text: `${said}${unsaid}`.trim(), call: functionCall?.status };
}

function App() {
  const state = usePipecatClientTransportState();
  return (
    <main data-state={state}>
      <button onClick={() => client.startBotAndConnect({ endpoint: "/start", requestData: {} })}>Talk</button>
      <Conversation />
      <PipecatClientAudio />
    </main>
  );
}

createRoot(document.getElementById("app")).render(
  <PipecatClientProvider client={client}>
    <App />
  </PipecatClientProvider>,
);
