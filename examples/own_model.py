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
    ears = listening.Listening(own.vad().probability)  # when somebody speaks, and what: in pieces, if it takes long
    said: list[bytes] = []
    reply = asyncio.create_task(asyncio.sleep(0))

    async def say(**message: Any) -> None:
        await socket.send(json.dumps(message))

    async def answer(text: str, said: list[bytes]) -> None:
        if said:
            heard = [await asyncio.to_thread(own.recognizer.text, pcm) for pcm in said]  # your recogniser, of 16 kHz
            await say(serverContent={"inputTranscription": {"text": (text := " ".join(heard))}})
        for sentence in mind.answer(text).sentences:
            sound = await asyncio.to_thread(own.voice.say, sentence)  # your voice: a sentence into 24 kHz sound
            parts = [{"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": base64.b64encode(sound).decode()}}]
            await say(serverContent={"modelTurn": {"parts": parts}, "outputTranscription": {"text": sentence + " "}})
            await asyncio.sleep(len(sound) / 48_000)  # while it is heard, it can be interrupted
        await say(serverContent={"generationComplete": True, "turnComplete": True})

    async for frame in socket:
        message = json.loads(frame)
        told = message.get("realtimeInput") or message.get("realtime_input") or {}
        if "setup" in message:
            await say(setupComplete={})
        if text := told.get("text"):
            reply = asyncio.create_task(answer(text, []))
        sound = base64.b64decode(told.get("audio", {}).get("data", "").replace("-", "+").replace("_", "/"))
        for event in ears.hear(sound, -120.0 if reply.done() else -20.0):  # the level of our own sound in the room, dB
            if isinstance(event, listening.Onset) and reply.cancel():
                await say(serverContent={"interrupted": True, "turnComplete": True})
            if isinstance(event, listening.Piece | listening.End):
                said.append(event.pcm)
            if isinstance(event, listening.End):
                reply, said = asyncio.create_task(answer("", said)), []


async def main(port: int | None, **options: Any) -> None:
    own = await asyncio.to_thread(models.load)
    await (await serve(lambda socket: call(socket, own), port=port, compression=None, **options)).serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), host="127.0.0.1"))
