"""A relay of which one UDP and one TCP port are open, a Chromium behind a router, and strangers who send anything."""

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final

import pytest

from tests.network.comeback import WITHIN, both_ways, microphone
from tests.network.measure import SCRIPT
from tests.network.nat import TCP, UDP, datagram, nat
from tests.network.stalls import Stalls
from tests.network.street import PORT, Street, street
from tests.sound import read_wav

SPOKEN: Final = read_wav("tests/sounds/weather.wav").part(1.0, 2.9)
REBOUND_SECONDS: Final = 1.0  # of silence, either way
LOOKS: Final = 5  # seconds of a flood, of which the best is judged: the machine is busy with making it, too
TIMES: Final = 3  # that a router forgets
WINDOW_SECONDS: Final = 0.3
MICROPHONE_PER_SECOND: Final = 50  # packets of one caller
NEIGHBOURS: Final = range(60, 250)  # addresses on the relay's own wire, so that an answer would be seen on it
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
            for _ in range(TIMES):
                known, began = (await visitor.stats()).peers, time.time()
                router.rebind()
                down, up = await both_ways(here, visitor, began, known)
                times = f"after {1000 * down:.0f} ms, the relay after {1000 * up:.0f}"
                measured(f"when a router has forgotten, Chromium has sound {times}")
                assert (await visitor.stats()).peers == known
                assert max(down, up) < REBOUND_SECONDS + stalls.longest
            await visitor.state("speaking")


async def both_heard(here: Street, began: float) -> float:
    """Seconds from `began` until the relay has the microphones of both callers."""
    async with asyncio.timeout(WITHIN):
        while True:
            packets, since = await microphone(here), time.time()
            await asyncio.sleep(WINDOW_SECONDS)
            if await microphone(here) - packets > 0.8 * 2 * MICROPHONE_PER_SECOND * (time.time() - since):
                return since - began


async def test_two_callers_behind_a_router_that_gives_each_the_others_port_have_sound_within_a_second(
    here: Street, measured: Measured
) -> None:
    with nat(here.line) as router:
        async with here.call() as one, here.call() as other, Stalls() as stalls:
            visitors = one, other
            for visitor in visitors:
                await visitor.have_it_speak()
            known, began = [(await visitor.stats()).peers for visitor in visitors], time.time()
            router.exchange()
            looks = (both_ways(here, visitor, began, peers) for visitor, peers in zip(visitors, known, strict=True))
            up, downs = await asyncio.gather(both_heard(here, began), asyncio.gather(*looks))
            slowest = max(down for down, _ in downs)
            measured(f"with each other's port two Chromiums have sound after {1000 * slowest:.0f} ms, the relay after "
                     f"{1000 * up:.0f}")  # fmt: skip
            assert max(slowest, up) < REBOUND_SECONDS + stalls.longest
            assert [(await visitor.stats()).peers for visitor in visitors] == known
            for visitor in visitors:
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


async def dropped(here: Street) -> float:
    """What the relay has counted of datagrams that were no call's."""
    return sum(n for name, n in (await here.counted()).items() if name.startswith("relay_datagrams_dropped_total"))


async def test_strangers_who_flood_the_port_from_any_address_get_nothing_and_harm_no_call(
    here: Street, measured: Measured
) -> None:
    line, dice = here.line, random.Random(7)
    overheard: list[bytes] = []
    homes: list[tuple[str, int]] = []  # where the browser is, which strangers write on theirs, too
    got = Counter[bytes]()
    pass_up, pass_down = line.up.through, line.down.through

    def note_up(packet: bytes) -> bytes:
        if packet[9] == UDP and len(overheard) < 1000:
            overheard.append(packet[28:])
            homes[:] = [(line.near.address, int.from_bytes(packet[20:22]))]
        return pass_up(packet)

    def note_down(packet: bytes) -> bytes:
        got[packet[16:20]] += packet[9] == UDP
        return pass_down(packet)

    async with here.call() as visitor:
        line.up.through, line.down.through = note_up, note_down
        try:
            await visitor.have_it_speak()
            looks = []
            made, counted = Counter[bool](), await dropped(here)
            for _ in range(LOOKS):
                before, began, sent = await visitor.stats(), time.monotonic(), 0
                while time.monotonic() < began + 1:
                    while sent < (time.monotonic() - began) * FLOOD_PER_SECOND:
                        source = (f"10.99.0.{dice.choice(NEIGHBOURS)}", dice.randrange(1, 65536))
                        waste = rubbish(dice, overheard)
                        if dice.random() < 0.1 and waste not in overheard:
                            source = homes[0]
                        os.write(line.far.tun, datagram(source, (line.far.address, PORT), waste))
                        made[source not in homes and waste not in overheard] += 1
                        sent += 1
                    await asyncio.sleep(0.005)
                looks.append((await visitor.stats()).since(before)["concealed"])
        finally:
            line.up.through, line.down.through = pass_up, pass_down
        made_up = min(looks)
        measured(f"with {FLOOD_PER_SECOND} datagrams of strangers a second Chromium made up {100 * made_up:.2f} %")
        assert {address for address, count in got.items() if count} <= {bytes(map(int, line.near.address.split(".")))}
        refused = await dropped(here) - counted
        measured(f"of {made.total()} datagrams of strangers {refused:.0f} were counted")
        assert refused >= made[True] > 0, "each came to the relay"
        assert made_up < MOST_MADE_UP
        await visitor.state("speaking")
