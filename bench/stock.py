"""The same relay as most people would write it, on aiortc's own media path: what the product is compared with.

`python -m bench.stock --port P --gemini-url ws://…` serves the routes the bench needs, and no more. Its page is
`stock.html`.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import time
import uuid
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
from aiohttp import ClientSession, ClientWebSocketResponse, web
from aiortc import RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

PATH: Final = "/ws/google.ai.generativelanguage.v1.GenerativeService.BidiGenerateContent"
RATE: Final = 24000
FRAME: Final = RATE // 50
PAGE: Final = Path(__file__).with_name("stock.html")
FORGOTTEN: Final = 1.0  # seconds; a stall longer than this is not made up for


class Speaker(MediaStreamTrack):
    """Model PCM in, paced 20 ms frames out."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self.pcm = bytearray()
        self._start = time.monotonic()
        self._count = 0

    async def recv(self) -> av.AudioFrame:
        behind = time.monotonic() - self._start - self._count * 0.02
        if behind > FORGOTTEN:
            self._start += behind
        await asyncio.sleep(-behind)
        data = bytes(self.pcm[: 2 * FRAME]).ljust(2 * FRAME, b"\0")
        del self.pcm[: 2 * FRAME]
        frame = av.AudioFrame(format="s16", layout="mono", samples=FRAME)
        frame.planes[0].update(data)
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._count * FRAME, Fraction(1, RATE)
        self._count += 1
        return frame


class Stock:
    """All calls of the process."""

    def __init__(self, gemini_url: str) -> None:
        self.url = gemini_url.rstrip("/") + PATH
        self.tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def health(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def page(self, request: web.Request) -> web.FileResponse:
        return web.FileResponse(PAGE)

    async def start(self, request: web.Request) -> web.Response:
        return web.json_response({"sessionId": uuid.uuid4().hex})

    async def offer(self, request: web.Request) -> web.Response:
        body = await request.json()
        peer, speaker = RTCPeerConnection(), Speaker()
        ready = asyncio.Event()

        @peer.on("datachannel")
        def on_channel(channel: RTCDataChannel) -> None:
            @channel.on("message")
            def on_message(text: str) -> None:
                message = json.loads(text)
                if message["type"] == "client-ready":
                    answer = {"label": "rtvi-ai", "type": "bot-ready", "id": message["id"]}
                    channel.send(json.dumps(answer | {"data": {"version": "2.1.0"}}))
                    ready.set()

        @peer.on("track")
        def on_track(track: MediaStreamTrack) -> None:
            self.spawn(self.converse(peer, ready, track, speaker))

        peer.addTrack(speaker)
        await peer.setRemoteDescription(RTCSessionDescription(body["sdp"], body["type"]))
        await peer.setLocalDescription(await peer.createAnswer())
        return web.json_response({"sdp": peer.localDescription.sdp, "type": "answer", "pc_id": uuid.uuid4().hex})

    async def converse(
        self, peer: RTCPeerConnection, ready: asyncio.Event, track: MediaStreamTrack, speaker: Speaker
    ) -> None:
        await ready.wait()
        async with ClientSession() as http, http.ws_connect(self.url, max_msg_size=0) as socket:
            await socket.send_json({"setup": {"model": "models/gemini-3.8-live"}})
            await socket.receive()
            listening = asyncio.ensure_future(listen(track, socket))
            async for message in socket:
                content = json.loads(message.data).get("serverContent", {})
                if content.get("interrupted"):
                    speaker.pcm.clear()
                for part in content.get("modelTurn", {}).get("parts", []):
                    if "inlineData" in part:
                        speaker.pcm += base64.b64decode(part["inlineData"]["data"])
            listening.cancel()
        await peer.close()


async def listen(track: MediaStreamTrack, socket: ClientWebSocketResponse) -> None:
    resampler = av.AudioResampler(format="s16", layout="mono", rate=16000)
    with contextlib.suppress(MediaStreamError, ConnectionError):
        while True:
            frame = await track.recv()
            assert isinstance(frame, av.AudioFrame)
            for out in resampler.resample(frame):
                data = base64.b64encode(bytes(out.planes[0])[: 2 * out.samples]).decode()
                audio = {"data": data, "mimeType": "audio/pcm;rate=16000"}
                await socket.send_json({"realtimeInput": {"audio": audio}})
    await socket.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.stock")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--gemini-url", required=True)
    options, _ = parser.parse_known_args()
    stock = Stock(options.gemini_url)
    app = web.Application()
    app.router.add_get("/", stock.page)
    app.router.add_get("/healthz", stock.health)
    app.router.add_post("/start", stock.start)
    app.router.add_post("/sessions/{id}/api/offer", stock.offer)
    web.run_app(app, host=options.host, port=options.port, print=lambda *words: print(*words, flush=True))


if __name__ == "__main__":
    main()
