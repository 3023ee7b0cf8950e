"""The local voice's figures: `--only local`. How soon it answers and whether rightly, what a turn costs, what it hears.

One process of its own, as in the product; callers in real time over the wire, in three voices that are not its own
(Debian's flite), with its echo at -45 dBFS in their microphones. Then its ears alone, which need no clock.
Run it on a machine that does nothing else. What is missing is endless, and so no figure is the better for it.
"""

import argparse
import asyncio
import contextlib
import shutil
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

from bench import asker, understanding
from bench.asker import Question, Told
from bench.process import TICKS
from bench.report import Row, percentile
from tests import hearing, timbres

QUIET: Final = 0.004  # of full scale: below it the question is over
USER_DBFS: Final = -24.0
ROUNDS: Final = 2  # of ten questions by one caller, each time in another voice
LONG: Final = (5, 6, 7, 9)  # questions whose answers are long enough to be interrupted
INTERRUPTIONS: Final = 20
AT_ONCE: Final = 4
START_S: Final = 60.0


def questions(first: int = 0) -> list[Question]:
    """The ten, each in another voice than the one before; today's day for Sunday."""
    day = datetime.now().astimezone().strftime("%A").lower()
    return [
        Question(_spoken(text, timbres.VOICES[(first + n) % 3]), day if answer == "sunday" else answer)
        for n, (text, answer) in enumerate(timbres.QUESTIONS)
    ]


def _spoken(text: str, voice: str) -> bytes:
    """Without the silence around it, so that its ends are the voice's."""
    import numpy as np

    pcm = hearing.at_level(timbres.speak(text, voice), USER_DBFS)
    loud = np.flatnonzero(np.abs(np.frombuffer(pcm, dtype="<i2")) > QUIET * 32768)
    return pcm[2 * int(loud[0]) : 2 * int(loud[-1]) + 2]


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


def processor_seconds(pid: int) -> float:
    """What a process has spent."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def peak_megabytes(pid: int) -> float:
    """The most that a process ever held."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))


async def talks(quick: bool) -> list[Row]:
    """What callers meet over the wire."""
    into = [question for n in range(INTERRUPTIONS) for question in [questions(n)[LONG[n % len(LONG)]]]]
    async with voice() as (url, pid, took):
        told = Told()
        for n in range(1 if quick else ROUNDS):  # each a call of its own, for a joke is not told twice
            told += await asker.conversation(url, questions(n), lambda: processor_seconds(pid))
        cut = await asker.interruptions(url, (into[:5] if quick else [*into, into[0]]))
        few = (questions(n)[: 3 if quick else None] for n in range(AT_ONCE))
        many = await asyncio.gather(*(asker.conversation(url, some, seed=n) for n, some in enumerate(few)))
        return [Row("local voice: process start → ready", [took], "s", 4.0), *rows_of(told, cut, many),
                Row("local voice: memory, at most", [peak_megabytes(pid)], "MB", 500)]  # fmt: skip


def rows_of(told: Told, cut: Told, many: Sequence[Told]) -> Iterator[Row]:
    """`told` by one caller, by one who interrupts, and by several at once."""

    def row(name: str, value: float, unit: str, most: float, note: str = "", *, least: bool = False) -> Row:
        return Row(f"local voice: {name}", [value], unit, most, note, least=least)

    turns, stops = f"{len(told.answers)} turns", f"{len(cut.stops)} times"
    yield row("end of speech → first sound, p50", 1000 * percentile(told.answers, 0.5), "ms", 650, turns)
    yield row("the same, p90", 1000 * percentile(told.answers, 0.9), "ms", 900)
    yield row("CPU a turn, answer and silence included, p50", percentile(told.spent, 0.5), "s", 0.6)
    yield row("first caption after onset, p90", 1000 * percentile(told.captions, 0.9), "ms", 1000)
    yield row("interrupted after onset, echo -45 dBFS, p50", 1000 * percentile(cut.stops, 0.5), "ms", 250, stops)
    yield row("the same: not within two seconds", float(cut.stops.count(float("inf"))), "", 0, f"of {len(cut.stops)}")
    together = [answer for one in many for answer in one.answers]
    yield row("four calls at once, p50", 1000 * percentile(together, 0.5), "ms", 800, f"{len(together)} turns")
    every = [told, *many]
    count = len(told.answers) + len(together)
    wrong = [answer for one in every for answer in one.wrong]
    right = 100 * (count - len(wrong) - sum(one.missed for one in every)) / count
    yield row(
        "answers that are right", right, "%", 90, f"of {count}; wrong: {wrong}" if wrong else f"of {count}", least=True
    )
    yield row("questions without an answer", float(sum(one.missed for one in (*every, cut))), "", 0)
    yield row("answers before the question was over", float(sum(one.early for one in every)), "", 0)
    yield row("answers cut by their own echo", float(sum(one.echoes for one in (*every, cut))), "", 0)


def rows(options: argparse.Namespace) -> list[Row]:
    """For `bench`; where it cannot be measured the rows have no figures, and say why."""
    try:
        if shutil.which("flite") is None or not hearing.LIBRIVOX.is_dir():
            raise RuntimeError("it takes Debian's flite and pocketsphinx-testdata: sh tests/machine.sh bench")
        return [*asyncio.run(talks(options.quick)), *understanding.rows()]
    except RuntimeError as missing:
        nobody = Told(answers=[0.0], captions=[0.0], stops=[0.0], spent=[0.0])
        return [replace(row, values=[], note=str(missing)) for row in rows_of(nobody, nobody, [nobody])]


if __name__ == "__main__":
    from bench import report

    for row in rows(argparse.Namespace(quick="--quick" in sys.argv)):
        print(report.line(row), flush=True)
