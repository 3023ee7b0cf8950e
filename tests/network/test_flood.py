"""One caller of a relay floods it, with what he is let in for: the others hear nothing of it."""

import asyncio
import struct
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final

from relay.audio.packet import FRAME_TICKS
from relay.standin.script import parse
from relay.standin.server import serve
from tests.caller import Caller, time_now
from tests.network.stalls import Stalls
from tests.process import relay_process

FLOOD_SECONDS: Final = 4.0
PER_SECOND: Final = 3000
STEP_SECONDS: Final = 0.010
GAP_SECONDS: Final = 0.040  # p99 between two packets of sound; two of them make a hole in what a browser plays
LATE_SECONDS: Final = 0.020  # of the relay's beat; above it no new call is let in
RATE, LATENESS = 'relay_packets_dropped_total{cause="rate"}', "relay_tick_lateness_p99_seconds"


async def flood(caller: Caller) -> int:
    """His own stream, signed with his key, fifty times as fast as speech; says how many packets."""
    sender: Any = caller.peer.getSenders()[0]
    dtls, last = sender.transport, list[bytes]()
    send = dtls._send_rtp

    async def noted(packet: bytes) -> None:
        last[:] = [packet]
        await send(packet)

    dtls._send_rtp = noted
    while not last:
        await asyncio.sleep(STEP_SECONDS)
    caller.microphone.mute(packets=False)
    await asyncio.sleep(0.1)
    _, kind, sequence, timestamp, ssrc = struct.unpack_from("!BBHII", last[0])
    began, sent = time_now(), 0
    while (passed := time_now() - began) < FLOOD_SECONDS:
        while sent < passed * PER_SECOND:
            sent += 1
            place = sequence + sent & 0xFFFF, timestamp + sent * FRAME_TICKS & 0xFFFFFFFF
            await send(struct.pack("!BBHII", 0x80, kind & 0x7F, *place, ssrc) + b"\x48" + bytes(60))
        await asyncio.sleep(STEP_SECONDS)
    return sent


async def test_a_caller_who_floods_the_relay_makes_no_other_call_late(measured: Callable[[str], None]) -> None:
    script = parse({"greet": "setup", "greeting": {"say": "Ah.", "tone_hz": 440, "seconds": 20}})
    async with (
        serve(script, record=False) as model,
        relay_process(model.url, "--greeting", "") as relay,
        Caller(relay.base) as rude,
        Caller(relay.base) as other,
    ):
        await rude.dial()
        await other.dial()
        await other.hears()
        async with Stalls() as stalls:
            began = time_now()
            sent = await flood(rude)
            lateness, dropped = await relay.figure(LATENESS), await relay.figure(RATE)
            heard = [packet for packet in other.packets if packet.at > began]
    gaps = sorted(after.at - before.at for before, after in pairwise(heard))
    p99 = gaps[int(0.99 * len(gaps))]
    measured(f"while one caller sends {sent / FLOOD_SECONDS:.0f} packets a second, the gaps of another have a p99 of "
             f"{1000 * p99:.0f} ms, and the relay's beat is {1000 * lateness:.1f} ms late")  # fmt: skip
    assert dropped > 0.5 * sent
    assert [packet.sequence for packet in heard] == [heard[0].sequence + n & 0xFFFF for n in range(len(heard))]
    assert len(heard) > 45 * FLOOD_SECONDS
    assert p99 < GAP_SECONDS + stalls.longest
    assert lateness < LATE_SECONDS + stalls.longest
