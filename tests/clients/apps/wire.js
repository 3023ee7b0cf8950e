// Notes what the page's peer connections and data channels carry, without touching the SDK.
window.peers = [];
window.channels = [];
window.wire = { sent: [], heard: [] };
{
  const Original = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Original {
    constructor(...args) {
      super(...args);
      window.peers.push(this);
    }

    createDataChannel(...args) {
      const channel = super.createDataChannel(...args);
      window.channels.push(channel);
      const send = channel.send.bind(channel);
      channel.send = (frame) => {
        window.wire.sent.push(frame);
        send(frame);
      };
      channel.addEventListener("message", ({ data }) => window.wire.heard.push(data));
      return channel;
    }
  };
}

// A microphone in a silent room, for a test that puts it in the place of `getUserMedia`.
window.silence = () => new AudioContext().createMediaStreamDestination().stream;
