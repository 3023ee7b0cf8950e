"""A relay of which one UDP and one TCP port are open, a Chromium behind a router, and strangers who send anything."""

import asyncio
import os
import random
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final

import pytest

from tests.network.comeback import both_ways
from tests.network.measure import SCRIPT
from tests.network.nat import TCP, UDP, datagram, nat
from tests.network.stalls import Stalls
from tests.network.street import PORT, Street, street
from tests.sound import read_wav

SPOKEN: Final = read_wav("tests/sounds/weather.wav").part(1.0, 2.9)
REBOUND_SECONDS: Final = 1.0  # of silence, either way
LOOKS: Final = 5  # seconds of a flood, of which the best is judged: the machine is busy with making it, too
TIMES: Final = 3  # that a router forgets, of which the middle one is judged
FLOOD_PER_SECOND: Final = 500
MOST_MADE_UP: Final = 0.02  # of the sound

Measured = Callable[[str], None]


def closed(outward: bool) -> Callable[[bytes], bool]:
    """The relay's firewall: one UDP port and one TCP port are open, and what they answer."""

    def bars(packet: bytes) -> bool:
        at = 4 * (packet[0] & 15) + (0 if outward else 2)
        return packet[9] not in (UDP, TCP) or int.from_bytes(packet[at : at + 2]) != PORT

    return bars


@pytest.fixture(scope="module")
async def built() -> AsyncIterator[Street]:
    async with street() as made, made.relay("--greeting", "", script=SCRIPT):
        yield made


@pytest.fixture
def here(built: Street) -> Iterator[Street]:
    """A street with such a relay."""
    line = built.line
    before = line.up.bars, line.down.bars
    line.up.bars, line.down.bars = closed(outward=False), closed(outward=True)
    yield built
    line.up.bars, line.down.bars = before


async def test_a_chromium_behind_a_router_talks_to_a_relay_with_one_udp_and_one_tcp_port_open(here: Street) -> None:
    with nat(here.line):
        async with here.call() as visitor:
            await visitor.state("listening")
            await visitor.say(SPOKEN)
            await visitor.shown("user", "s of speech")
            await visitor.shown("model", "own words")


async def test_a_router_that_forgets_costs_a_second_of_silence_at_most_and_no_new_connection(
    here: Street, measured: Measured
) -> None:
    with nat(here.line) as router:
        async with here.call() as visitor, Stalls() as stalls:
            await visitor.have_it_speak()
            silent = []
            for _ in range(TIMES):
                known, began = (await visitor.stats()).peers, time.time()
                router.rebind()
                down, up = await both_ways(here, visitor, began, known)
                times = f"after {1000 * down:.0f} ms, the relay after {1000 * up:.0f}"
                measured(f"when a router has forgotten, Chromium has sound {times}")
                assert (await visitor.stats()).peers == known
                silent.append(max(down, up))
            assert statistics.median(silent) < REBOUND_SECONDS + stalls.longest
            await visitor.state("speaking")


def rubbish(dice: random.Random, overheard: list[bytes]) -> bytes:
    """What strangers send: checks for nobody, handshakes, sound, anything, and what they have overheard."""
    kind = dice.randrange(6)
    if kind == 0:
        return b"\0\1\0\x08\x21\x12\xa4\x42" + dice.randbytes(12) + b"\0\6\0\4" + b"a:bc"
    if kind == 1:
        return b"\x16\xfe\xfd" + dice.randbytes(dice.randrange(300))
    if kind == 2:
        return b"\x80\x6f" + dice.randbytes(dice.randrange(1400))
    if kind == 3:
        return dice.randbytes(dice.randrange(1472))
    if kind == 4:
        return b"\1\1\0\0\x21\x12\xa4\x42" + dice.randbytes(dice.randrange(60))
    return dice.choice(overheard)


async def test_strangers_who_flood_the_port_from_any_address_get_nothing_and_harm_no_call(
    here: Street, measured: Measured
) -> None:
    line, dice = here.line, random.Random(7)
    overheard: list[bytes] = []
    got = Counter[bytes]()
    pass_up, pass_down = line.up.through, line.down.through

    def note_up(packet: bytes) -> bytes:
        if packet[9] == UDP and len(overheard) < 1000:
            overheard.append(packet[28:])
        return pass_up(packet)

    def note_down(packet: bytes) -> bytes:
        got[packet[16:20]] += packet[9] == UDP
        return pass_down(packet)

    async with here.call() as visitor:
        line.up.through, line.down.through = note_up, note_down
        try:
            await visitor.have_it_speak()
            looks = []
            for _ in range(LOOKS):
                before, began, sent = await visitor.stats(), time.monotonic(), 0
                while time.monotonic() < began + 1:
                    while sent < (time.monotonic() - began) * FLOOD_PER_SECOND:
                        source = (f"198.51.{dice.randrange(256)}.{dice.randrange(256)}", dice.randrange(1, 65536))
                        os.write(line.far.tun, datagram(source, (line.far.address, PORT), rubbish(dice, overheard)))
                        sent += 1
                    await asyncio.sleep(0.005)
                looks.append((await visitor.stats()).since(before)["concealed"])
        finally:
            line.up.through, line.down.through = pass_up, pass_down
        made_up = min(looks)
        measured(f"with {FLOOD_PER_SECOND} datagrams of strangers a second Chromium made up {100 * made_up:.2f} %")
        assert {address for address, count in got.items() if count} <= {bytes(map(int, line.near.address.split(".")))}
        assert made_up < MOST_MADE_UP
        await visitor.state("speaking")
