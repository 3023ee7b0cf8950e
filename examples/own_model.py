"""A model of your own behind the Gemini Live wire format, as docs/local-voice.md tells it: own_model.py PORT"""

import asyncio
import base64
import json
import sys
from datetime import datetime
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

from relay.standin import listening, models
from relay.standin.wits.wits import Wits


async def call(socket: ServerConnection, own: models.Models) -> None:
    """One conversation: frames in, words and sound out."""
    mind = Wits(datetime.now)  # your model: it owes the sentences of an answer to a line of text
    ears = listening.Listening(own.vad().probability)  # onset, end, and all of what was said in between
    reply: asyncio.Task[None] | None = None

    async def say(**message: Any) -> None:
        await socket.send(json.dumps(message))

    async def answer(text: str, pcm: bytes = b"") -> None:
        if pcm:
            text = await asyncio.to_thread(own.recognizer.text, pcm)  # your recogniser: 16 kHz sound into words
            await say(serverContent={"inputTranscription": {"text": text}})
        for sentence in mind.answer(text).sentences:
            sound = await asyncio.to_thread(own.voice.say, sentence)  # your voice: a sentence into 24 kHz sound
            blob = {"mimeType": "audio/pcm;rate=24000", "data": base64.b64encode(sound).decode()}
            content = {"modelTurn": {"parts": [{"inlineData": blob}]}, "outputTranscription": {"text": sentence + " "}}
            await say(serverContent=content)
            await asyncio.sleep(len(sound) / 48_000)  # while it is heard, it can be interrupted
        await say(serverContent={"generationComplete": True, "turnComplete": True})

    async for frame in socket:
        message = json.loads(frame)
        told = message.get("realtimeInput") or message.get("realtime_input") or {}
        if "setup" in message:
            await say(setupComplete={})
        if text := told.get("text"):
            reply = asyncio.create_task(answer(text))
        sound = base64.b64decode(told.get("audio", {}).get("data", "").replace("-", "+").replace("_", "/"))
        speaking = reply is not None and not reply.done()
        for event in ears.hear(sound, -20.0 if speaking else -120.0):  # the level of our own sound in the room, dB
            if isinstance(event, listening.Onset) and reply is not None and reply.cancel():
                await say(serverContent={"interrupted": True, "turnComplete": True})
            if isinstance(event, listening.End):
                reply = asyncio.create_task(answer("", event.pcm))


async def main(port: int | None, **options: Any) -> None:
    own = await asyncio.to_thread(models.load)
    async with serve(lambda socket: call(socket, own), port=port, compression=None, **options) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), host="127.0.0.1"))
