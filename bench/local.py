"""The local voice's figures: how soon it answers, what a turn costs, how much memory it takes. `--only local`.

One process of its own, as in the product; callers in real time over the wire, in voices that are not its own
(`flite`, else the voice itself). Run it on a machine that does nothing else.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from websockets.asyncio.client import ClientConnection, connect

from bench.process import TICKS
from bench.report import Row

PATH: Final = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
SETUP: Final = {
    "setup": {"model": "models/gemini-3.8-live", "inputAudioTranscription": {}, "outputAudioTranscription": {}}
}
QUESTIONS: Final = (
    "What is the capital of France?",
    "How much is seventeen times six?",
    "My name is Anna.",
    "What is my name?",
    "What day is it today?",
    "Count from one to five.",
    "Tell me a joke.",
    "What is two hundred and five minus fifty six?",
)
VOICES: Final = ("slt", "rms", "awb")
RATE: Final = 16_000
FRAME: Final = 640  # bytes of 20 ms
QUIET: Final = 0.004  # of full scale: below it the question is over
# What is measured: its unit, and the most that it may be.
FIGURES: Final = {
    "process start → ready": ("s", 4.0),
    "end of speech → first sound, p50": ("ms", 650.0),
    "the same, p90": ("ms", 900.0),
    "CPU a turn, answer and silence included, p50": ("s", 0.6),
    "first caption after onset, p90": ("ms", 1000.0),
    "interrupted after onset, p50": ("ms", 250.0),
    "four calls at once, p50": ("ms", 800.0),
    "questions without an answer": ("", 0.0),
    "memory, at most": ("MB", 500.0),
}
START_S: Final = 60.0
ANSWER_S: Final = 10.0


@dataclass
class Told:
    """What became of the turns of one caller, in seconds."""

    answers: list[float] = field(default_factory=list)  # from the end of speech to the first sound
    captions: list[float] = field(default_factory=list)  # from its beginning to the first words
    stops: list[float] = field(default_factory=list)  # from its beginning to `interrupted`
    spent: list[float] = field(default_factory=list)  # of processor time, from a question to its answer's end
    missed: int = 0


def spoken(folder: Path) -> list[bytes]:
    """The questions as 16 kHz sound."""
    if shutil.which("flite") is None:
        raise RuntimeError("bench local needs flite (Debian package) for its callers' voices")
    out = []
    for n, question in enumerate(QUESTIONS):
        path = folder / f"{n}.wav"
        subprocess.run(["flite", "-voice", VOICES[n % 3], "-t", question, "-o", str(path)], check=True)
        with wave.open(str(path)) as file:
            out.append(_trimmed(file.readframes(file.getnframes())))
    return out


def _trimmed(pcm: bytes) -> bytes:
    """Without the silence around it, so that its ends are the voice's."""
    import numpy as np

    loud = np.flatnonzero(np.abs(np.frombuffer(pcm, dtype="<i2")) > QUIET * 32768)
    return pcm[2 * int(loud[0]) : 2 * int(loud[-1]) + 2]


class Caller:
    """Speaks in real time, and notes when it is answered."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.told = Told()
        self.at: dict[str, float] = {}
        self._event = asyncio.Event()

    async def listen(self) -> None:
        with contextlib.suppress(Exception):
            async for message in self._socket:
                now = time.monotonic()
                told = json.loads(message)
                content = told.get("serverContent", {})
                for name in ("modelTurn", "interimInputTranscription", "interrupted", "turnComplete"):
                    if name in content:
                        self.at.setdefault(name, now)
                if "setupComplete" in told:
                    self.at["setupComplete"] = now
                self._event.set()

    async def until(self, name: str, seconds: float = ANSWER_S) -> bool:
        deadline = time.monotonic() + seconds
        while name not in self.at and (left := deadline - time.monotonic()) > 0:
            self._event.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._event.wait(), left)
        return name in self.at

    async def stream(self, sounds: "asyncio.Queue[bytes]") -> None:
        """The microphone: silence, or what is to be said."""
        begin, n, rest = time.monotonic(), 0, b""
        while True:
            if not rest and not sounds.empty():
                rest = sounds.get_nowait()
                self.at.clear()
                self.at["begins"] = time.monotonic()
                self.at["ends"] = self.at["begins"] + len(rest) / 2 / RATE
            frame, rest = (rest[:FRAME] or bytes(FRAME)).ljust(FRAME, b"\0"), rest[FRAME:]
            blob = {"data": base64.b64encode(frame).decode(), "mimeType": f"audio/pcm;rate={RATE}"}
            await self._socket.send(json.dumps({"realtimeInput": {"audio": blob}}))
            n += 1
            await asyncio.sleep(max(0.0, begin + n * FRAME / 2 / RATE - time.monotonic()))

    async def ask(self, sounds: "asyncio.Queue[bytes]", pcm: bytes, *, cut: bool) -> None:
        """One question: its answer, and, unless it is cut by the next one, that answer's end."""
        self.at.clear()
        sounds.put_nowait(pcm)
        await self.until("begins")
        if not await self.until("modelTurn", len(pcm) / 2 / RATE + ANSWER_S):
            self.told.missed += 1
            return
        self.told.answers.append(self.at["modelTurn"] - self.at["ends"])
        if "interimInputTranscription" in self.at:
            self.told.captions.append(self.at["interimInputTranscription"] - self.at["begins"])
        if cut:
            await asyncio.sleep(0.6)
            sounds.put_nowait(pcm)
            self.at.clear()
            await self.until("begins")
            if await self.until("interrupted", 2.0):
                self.told.stops.append(self.at["interrupted"] - self.at["begins"])
            await self.until("modelTurn")
        await self.until("turnComplete", 20.0)
        await asyncio.sleep(0.7)  # what we heard of the voice is gone


async def call(url: str, questions: list[bytes], *, cut: bool, pid: int = 0) -> Told:
    """A conversation of all questions; with `pid` the voice's process is watched, whose only call it must be."""
    async with connect(url + PATH, max_size=None, compression=None) as socket:
        caller = Caller(socket)
        listening = asyncio.create_task(caller.listen())
        await socket.send(json.dumps(SETUP))
        await caller.until("setupComplete")
        sounds: asyncio.Queue[bytes] = asyncio.Queue()
        speaking = asyncio.create_task(caller.stream(sounds))
        await asyncio.sleep(0.5)
        for pcm in questions:
            before = _seconds(pid) if pid else 0.0
            await caller.ask(sounds, pcm, cut=cut)
            caller.told.spent += [_seconds(pid) - before] if pid else []
        speaking.cancel()
        listening.cancel()
        await asyncio.gather(speaking, listening, return_exceptions=True)
        return caller.told


@contextlib.asynccontextmanager
async def voice() -> AsyncIterator[tuple[str, int, float]]:
    """The stand-in's process: its address, its id, and the seconds until it was ready."""
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "relay.standin", "--local", "--with-parent"),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        url = (await asyncio.wait_for(process.stdout.readline(), START_S)).decode().split()[-1]
        ready = (await asyncio.wait_for(process.stdout.readline(), START_S)).decode().strip()
        if not ready.endswith("ready"):
            raise RuntimeError(ready)
        yield url, process.pid, time.monotonic() - began
    finally:
        process.terminate()
        await process.wait()


def _seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _memory(pid: int) -> float:
    """The most that it ever held, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def _rank(values: Iterable[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


async def measure(options: argparse.Namespace) -> dict[str, float]:
    """The value of each of `FIGURES`; raises `RuntimeError` where something is missing."""
    with tempfile.TemporaryDirectory() as folder:
        questions = spoken(Path(folder))
    questions = questions[: 3 if options.quick else None]
    async with voice() as (url, pid, took):
        told = await call(url, questions, cut=False, pid=pid)
        cuts = await call(url, questions[:4], cut=True)
        many = await asyncio.gather(*(call(url, questions, cut=False) for _ in range(4)))
        answers = [answer for one in many for answer in one.answers]
        values = (
            took,
            1000 * _rank(told.answers, 0.5),
            1000 * _rank(told.answers, 0.9),
            _rank(told.spent, 0.5),
            1000 * _rank(told.captions, 0.9),
            1000 * _rank(cuts.stops, 0.5),
            1000 * _rank(answers, 0.5),
            float(sum(one.missed for one in (told, cuts, *many))),
            _memory(pid),
        )
    return dict(zip(FIGURES, values, strict=True))


def rows(options: argparse.Namespace) -> list[Row]:
    """For `bench`; where it cannot be measured the rows have no figures, and say why."""
    try:
        values, reason = asyncio.run(measure(options)), ""
    except RuntimeError as missing:
        values, reason = {}, str(missing)
    return [
        Row(f"local voice: {name}", [values[name]] if name in values else [], unit, most, reason)
        for name, (unit, most) in FIGURES.items()
    ]


if __name__ == "__main__":
    from bench import report

    for row in rows(argparse.Namespace(quick="--quick" in sys.argv)):
        print(report.line(row), flush=True)
