"""`python -m bench.stages`: where the microseconds of a packet go, room by room, on the straight way.

Each step is called in a loop of its own on the bytes of a call, and the least of many batches counts: what is left of
a call's processor time is the event loop, and Python between the steps. Steps in C are taken from `bench.floor`. The
way from the socket to the line is measured through a socket of the one port, less what is measured beside it.
"""

import argparse
import asyncio
import base64
import itertools
import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench import opus, speech
from bench.floor import Floor
from bench.hearing import PAYLOAD_TYPE
from bench.quality import BIT_RATE
from relay.audio import red
from relay.audio.activity import Activity
from relay.audio.jitter import JitterBuffer
from relay.audio.opus import Decoder, Encoder
from relay.audio.packet import DECODED_RATE, ENCODED_RATE, FRAME_BYTES, FRAME_TICKS
from relay.audio.playout import Playout
from relay.gemini import protocol, reading
from relay.uplink import Uplink
from relay.webrtc.gate import Gate
from relay.webrtc.port.connection import Connection
from relay.webrtc.port.sockets import Known, Port
from relay.webrtc.reception import Reception
from relay.webrtc.tap import RTP_HEADER
from signaling.__main__ import quickest_loop
from tests.fuzz.parsers import raw_line

BATCH: Final = 50  # one second of sound
BATCHES: Final = 400
ROUNDS: Final = 3  # of all steps: a neighbour of the machine does not stay for all of them
RED_TYPE: Final = 63
CHUNK_FRAMES: Final = 10  # of the model's messages: 200 ms

Microseconds = float


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the way `up` or `down`, per packet."""

    way: str
    name: str
    microseconds: Microseconds
    in_c: bool = False  # most of it, or all


def least(step: Callable[[int], Any]) -> Microseconds:
    """What one call takes; `step` is given a number that goes up."""
    numbers = itertools.count()
    found = float("inf")
    for _ in range(BATCHES):
        batch = list(itertools.islice(numbers, BATCH))
        began = time.thread_time_ns()
        for number in batch:
            step(number)
        found = min(found, time.thread_time_ns() - began)
    return found / BATCH / 1000


def with_copies(packets: list[bytes]) -> list[bytes]:
    """Each with the one before it, as a browser sends them."""
    befores = zip([packets[-1], *packets], packets, strict=False)
    return [red.write(packet, [(FRAME_TICKS, before)], PAYLOAD_TYPE) for before, packet in befores]


class _Open(Gate):
    """It lets a second's sound pass in a millisecond."""

    def admit(self, payload_type: int, ssrc: int, size: int, now: float) -> bool:
        return True


async def arrive(packets: list[bytes]) -> Microseconds:
    """From the kernel's hands to the uplink's: the loop, the port's socket, the call's connection, its line.

    A second's datagrams wait when the clock starts, so that the loop's waking is shared by all of them; SRTP and the
    gate let everything pass.
    """
    came = [0]

    def take(*packet: Any) -> None:
        came[0] += 1

    line = raw_line(take)
    line.gate = _Open(PAYLOAD_TYPE, RED_TYPE)
    port, found = await Port.open(["127.0.0.1"]), float("inf")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as browser:
        browser.bind(("127.0.0.1", 0))
        connection = Connection(port)
        connection.line = line
        [listening] = port._sockets.values()
        listening.known[browser.getsockname()] = Known(connection, connection._take)
        wrapped = itertools.cycle(with_copies(packets))
        for number in range(0, BATCH * BATCHES, BATCH):
            for place in range(number, number + BATCH):
                header = RTP_HEADER.pack(0x80, RED_TYPE, place & 0xFFFF, place * FRAME_TICKS & 0xFFFFFFFF, 1)
                browser.sendto(header + next(wrapped), ("127.0.0.1", port.number))
            began = time.thread_time_ns()
            while came[0] < number + BATCH:  # noqa: ASYNC110  # nothing but the reading is to be measured
                await asyncio.sleep(0)
            found = min(found, time.thread_time_ns() - began)
    await connection.close()
    port.close()
    return found / BATCH / 1000


def up(packets: list[bytes], floor: dict[str, float], arrived: Microseconds) -> Iterator[Stage]:
    """From a datagram to the model's socket."""
    count, wrapped = len(packets), with_copies(packets)
    pcm = [Decoder().decode(packet) for packet in packets]
    gate, reception, jitter = Gate(PAYLOAD_TYPE, RED_TYPE), Reception(0, 0, 0.0), JitterBuffer()
    jitter.push(0, 0, packets[0], 1, 0.0)
    jitter.poll(0.0)
    decoder, activity = Decoder(), Activity()
    found = least(lambda n: red.primary(wrapped[n % count], PAYLOAD_TYPE))
    noted = least(lambda n: reception.add(n & 0xFFFF, n * FRAME_TICKS, n / 50))
    yield Stage("up", "kernel: take the datagram", floor["recvfrom"], True)
    yield Stage("up", "port: read, whose is it, its header", max(0.0, arrived - floor["recvfrom"] - found - noted))
    yield Stage("up", "libsrtp: unprotect", floor["unprotect"], True)
    yield Stage("up", "gate: is it let in", least(lambda n: gate.admit(RED_TYPE, 1, 150, n / 50)))
    yield Stage("up", "red: find the packet itself", found)
    yield Stage("up", "reception: for our reports", noted)
    yield Stage(
        "up",
        "jitter: is it the next",
        least(lambda n: jitter.follows(n + 1 & 0xFFFF, (n + 1) * FRAME_TICKS & 0xFFFFFFFF, 1, packets[n % count])),
    )
    yield Stage("up", "libopus: decode to 16 kHz", least(lambda n: decoder.decode(packets[n % count])), True)
    yield Stage("up", "activity: is somebody speaking", least(lambda n: activity.feed(pcm[n % count], n / 50)))
    yield Stage("up", "protocol: base64 in a template", least(lambda n: protocol.audio_message(pcm[n % count])))
    yield Stage("up", "kernel: write to the model", floor["ws_send"], True)


def down(frames: list[bytes], floor: dict[str, float]) -> Iterator[Stage]:
    """From the model's socket to a datagram; what comes in messages of 200 ms counts for a tenth."""
    count = len(frames)
    packets = [Encoder().encode(frame) for frame in frames]
    message = _model_message(b"".join(frames[at % count] for at in range(CHUNK_FRAMES)))
    playout, encoder = Playout(), Encoder()

    def cut(number: int) -> None:
        if not playout.ready:
            playout.put(b"".join(frames[(number + at) % count] for at in range(CHUNK_FRAMES)))
        playout.next()

    yield Stage("down", "kernel: read from the model", floor["ws_recv"], True)
    yield Stage("down", "reading: JSON and base64", least(lambda n: reading.read(message)) / CHUNK_FRAMES)
    yield Stage("down", "playout: queue and cut", least(cut))
    yield Stage("down", "libopus: encode at 24 kHz", least(lambda n: encoder.encode(frames[n % count])), True)
    yield Stage("down", "libsrtp: protect", floor["protect"], True)
    yield Stage("down", "kernel: send the datagram", floor["sendto"], True)
    yield Stage(
        "loss",
        "red: carry two earlier packets",
        least(
            lambda n: red.write(
                packets[n % count],
                [(2 * FRAME_TICKS, packets[n % count - 2]), (FRAME_TICKS, packets[n % count - 1])],
                PAYLOAD_TYPE,
            )
        ),
    )


def _model_message(pcm: bytes) -> bytes:
    data = {"mimeType": f"audio/pcm;rate={ENCODED_RATE}", "data": base64.b64encode(pcm).decode()}
    return json.dumps({"serverContent": {"modelTurn": {"parts": [{"inlineData": data}]}}}).encode()


async def whole(packets: list[bytes]) -> Microseconds:
    """`Uplink.on_rtp` with all that is in it, but for the socket."""
    uplink = Uplink(lambda pcm: None, lambda edge: None, lambda: None)
    uplink.open()
    uplink.model_ready()
    count = len(packets)

    def step(number: int) -> None:
        uplink.on_rtp(number & 0xFFFF, number * FRAME_TICKS & 0xFFFFFFFF, 1, packets[number % count], b"")

    found = least(step)
    uplink.close()
    return found


async def measure() -> list[Stage]:
    """All stages, and the whole of the way up beside them: the least of several rounds."""
    rounds = [await one_round() for _ in range(ROUNDS)]
    return [min(found, key=lambda stage: stage.microseconds) for found in zip(*rounds, strict=True)]


async def one_round() -> list[Stage]:
    floor = await Floor().measure(4.0)
    setting = opus.Setting("voip", BIT_RATE, 9, 0, opus.WIDEBAND)
    packets = opus.encode(speech.sentence(DECODED_RATE), setting)
    pcm = speech.sentence(ENCODED_RATE).pcm
    frames = [pcm[at : at + FRAME_BYTES] for at in range(0, len(pcm) - FRAME_BYTES + 1, FRAME_BYTES)]
    return [
        *up(packets, floor, await arrive(packets)),
        *down(frames, floor),
        Stage("whole", "Uplink.on_rtp, without the socket", await whole(packets)),
    ]


def table(stages: list[Stage]) -> str:
    lines = []
    for way in ("up", "down"):
        mine = [stage for stage in stages if stage.way == way]
        lines += [f"{way}, µs per packet"]
        lines += [f"  {stage.name:36}{stage.microseconds:6.1f}{'  in C' if stage.in_c else ''}" for stage in mine]
        total, in_c = sum(s.microseconds for s in mine), sum(s.microseconds for s in mine if s.in_c)
        lines += [f"  {'together':36}{total:6.1f}  of these {in_c:.1f} in C", ""]
    lines += [f"  {stage.name:36}{stage.microseconds:6.1f}" for stage in stages if stage.way not in ("up", "down")]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.stages", description="Where the microseconds of a packet go.")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=quickest_loop()) as runner:
        stages = runner.run(measure())
    print(table(stages))
    if options.json is not None:
        options.json.write_text(json.dumps([[stage.way, stage.name, stage.microseconds] for stage in stages], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
