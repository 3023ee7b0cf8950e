"""All calls on one UDP port: each hears its own, follows its caller, harms no other, and leaves nothing behind."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final

import pytest
from aioice import stun

from relay.config import ConfigError, load
from relay.webrtc.media import Media, prepare
from relay.webrtc.port import connection as connections
from relay.webrtc.port import lite, sockets
from relay.webrtc.port.connection import Connection
from relay.webrtc.port.sockets import Port, local_addresses
from signaling.sockets import open_udp_port
from tests.checker import Browser
from tests.test_peer import Call

REBOUND_SECONDS: Final = 1.0


@contextlib.asynccontextmanager
async def calls(
    count: int, tier: str = "raw", public: tuple[str, ...] = (), address: str = "127.0.0.1"
) -> AsyncIterator[tuple[Port, list[Call]]]:
    """So many calls on one port of this address, connected."""
    port = await Port.open([address], public=public)
    media: Media = prepare([address], tiers=[tier], port=port)
    made = [Call(media) for _ in range(count)]
    try:
        for call in made:
            await call.connect()
        yield port, made
    finally:
        for call in made:
            call.microphone.stop()
            await call.peer.close()
            await call.browser.close()
        port.close()


def candidates(answer: str) -> list[tuple[str, int]]:
    lines = [line.split() for line in answer.splitlines() if line.startswith("a=candidate:")]
    return [(words[4], int(words[5])) for words in lines]


def connection(call: Call) -> Connection:
    found: Any = call.peer._audio.receiver.transport.transport
    assert isinstance(found._connection, Connection)
    return found._connection


async def heard(call: Call) -> None:
    """One packet more of its microphone."""
    call.owner.heard.clear()
    async with asyncio.timeout(5):
        await call.owner.heard.wait()


async def test_every_answer_names_the_one_port_and_says_that_the_browser_has_to_come() -> None:
    async with calls(2) as (port, made):
        for call in made:
            assert candidates(call.answer) == [("127.0.0.1", port.number)]
            assert "a=ice-lite" in call.answer.split("m=")[0].splitlines()
        assert len({call.answer.split("a=ice-ufrag:")[1].split()[0] for call in made}) == 2


@pytest.mark.parametrize("tier", ["raw", "middle", "public"])
async def test_each_of_several_calls_is_heard_as_itself(tier: str) -> None:
    async with calls(3, tier) as (_, made):
        for call in made:
            await heard(call)
        first, *others = made
        first.microphone.mute(packets=False)
        await asyncio.sleep(0.2)
        first.owner.heard.clear()
        for call in others:
            await heard(call)
        if tier == "raw":
            assert not first.owner.heard.is_set()
            assert len({packet[2] for call in others for packet in call.owner.rtp}) == 2, "one stream each"


async def test_a_port_that_all_calls_have_left_knows_nobody() -> None:
    async with calls(3) as (port, made):
        for call in made:
            await call.peer.close()
        assert len(port.board) == 0
        [listening] = port._sockets.values()
        assert listening.known == {}


class Elsewhere(asyncio.DatagramProtocol):
    """Another socket of a browser's: its address as a router shows it when it has forgotten the one before."""

    def __init__(self, stun: Any) -> None:
        self._stun = stun

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._stun.datagram_received(data, addr)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stun.connection_lost(exc)


async def move(call: Call) -> asyncio.DatagramTransport:
    """The browser is seen at another port from now on; nothing that is sent to the old one arrives."""
    [pair] = ice_of(call)._connection._nominated.values()
    before = pair.protocol.transport
    before.set_protocol(asyncio.DatagramProtocol())
    before.abort()
    elsewhere, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Elsewhere(pair.protocol), local_addr=(pair.local_candidate.host, 0)
    )
    pair.protocol.transport = elsewhere
    return elsewhere


async def test_a_caller_whose_address_changes_is_heard_at_once_and_hears_within_a_second() -> None:
    async with calls(2) as (_, (call, other)):
        await heard(call)
        before = connection(call).agent.in_use
        elsewhere = await move(call)
        moved = asyncio.get_running_loop().time()
        await heard(call)
        async with asyncio.timeout(5):
            while (used := connection(call).agent.in_use) is before:
                await asyncio.sleep(0.005)
        assert asyncio.get_running_loop().time() - moved < REBOUND_SECONDS
        assert used is not None
        assert used.route[1] == elsewhere.get_extra_info("sockname")
        assert call.peer.connected
        assert not call.owner.lost.is_set()
        await heard(other)
        call.channel.send("still here")
        async with asyncio.timeout(5):
            while "still here" not in call.owner.messages:
                await asyncio.sleep(0.01)


def swap(calls: list[Call]) -> None:
    """A router that was restarted has handed out the same ports the other way round: each is seen at the other's."""
    first, other = (ice._connection._nominated[1].protocol for ice in map(ice_of, calls))
    first.transport, other.transport = other.transport, first.transport
    for protocol in (first, other):
        protocol.transport.set_protocol(Elsewhere(protocol))


def route_of(call: Call) -> object:
    used = connection(call).agent.in_use
    return used.route if used is not None else None


def ice_of(call: Call) -> Any:
    return call.browser.getReceivers()[0].transport.transport


@pytest.mark.parametrize("muted", [False, True], ids=["both speak", "both are muted"])
async def test_two_callers_behind_a_router_that_gives_each_the_others_port_go_on(muted: bool) -> None:
    async with calls(2) as (_, made):
        for call in made:
            await heard(call)
            if muted:
                call.microphone.mute(packets=False)
        browsers = [Browser(connection(call).agent, *ice_words(call)) for call in made]
        for times in range(3):  # there, back, and there again: each time the old proofs count for nothing
            before = [route_of(call) for call in made]
            swap(made)
            swapped = asyncio.get_running_loop().time()
            if muted:  # its next check, which aioice makes every 5 s
                for call, browser in zip(made, browsers, strict=True):
                    [pair] = ice_of(call)._connection._nominated.values()
                    pair.protocol.transport.sendto(browser.check(nominate=True), pair.remote_addr)
            else:
                for call in made:
                    await heard(call)
            async with asyncio.timeout(5):
                while [route_of(call) for call in made] != before[::-1]:
                    await asyncio.sleep(0.005)
            assert asyncio.get_running_loop().time() - swapped < REBOUND_SECONDS
            for call in made:
                await said(call, f"swapped {times}")
                if not muted:
                    await heard(call)


def ice_words(call: Call) -> tuple[str, str]:
    """The browser's name and password."""
    theirs = ice_of(call)._connection
    return theirs.local_username, theirs.local_password


async def said(call: Call, words: str) -> None:
    """A message of the browser's arrives."""
    call.channel.send(words)
    async with asyncio.timeout(5):
        while words not in call.owner.messages:
            await asyncio.sleep(0.01)


async def test_whoever_has_overheard_a_call_cannot_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lite, "CONSENT_SECONDS", 0.6)
    monkeypatch.setattr(connections, "CONSENT_CHECK_SECONDS", 0.1)
    async with calls(1) as (port, [call]):
        await heard(call)
        browser = Browser(connection(call).agent, *ice_words(call))
        forged = browser.check(password="whatever")
        overheard = browser.check()
        [pair] = ice_of(call)._connection._nominated.values()
        pair.protocol.transport.sendto(overheard, pair.remote_addr)
        await asyncio.sleep(0.05)
        before = port.board.dropped.copy()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.setblocking(False)
            for n in range(1500):
                stranger.sendto(forged if n % 2 else overheard, ("127.0.0.1", port.number))
                await asyncio.sleep(0.001)
            with pytest.raises(BlockingIOError):
                stranger.recv(2048)
        took = port.board.dropped - before
        assert (took["unsigned"], took["again"], took["rate"]) == (750, 750, 0)
        pair.protocol.transport.sendto(browser.check(), pair.remote_addr)
        await said(call, "still here")
        assert call.peer.connected, "sound is consent, even where no check arrives"
        call.microphone.mute(packets=False)
        async with asyncio.timeout(5):
            await call.owner.lost.wait()
        assert not call.owner.hung_up, "it may come back"


async def test_a_browser_that_aims_its_call_at_somebody_else_gets_it_itself() -> None:
    async with calls(1) as (port, [call]):
        await heard(call)
        at_home = connection(call).agent.in_use
        browser = Browser(connection(call).agent, *ice_words(call))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as victim:
            victim.bind(("127.0.0.1", 0))
            victim.setblocking(False)
            sent = 0
            for n in range(100):
                sent += victim.sendto(browser.check(nominate=True, priority=2**31 + n), ("127.0.0.1", port.number))
                call.peer.send_rtp(b"\xd8\xff\xfe", n * 960, n == 0, False)
                await asyncio.sleep(0.01)
            got = []
            with contextlib.suppress(BlockingIOError):
                while True:
                    got.append(victim.recv(2048))
        assert connection(call).agent.in_use is at_home
        kinds = [stun.parse_message(data).message_class for data in got]  # nothing but STUN
        assert kinds.count(stun.Class.REQUEST) < 10
        assert kinds.count(stun.Class.RESPONSE) > 90
        assert sum(map(len, got)) <= sent


STRANGE: Final = (
    b"",
    b"\0",
    b"\x80\x6f",
    b"\x16\xfe\xfd" + bytes(60),
    bytes(28),
    b"\xff" * 2000,
    b"\0\1" + bytes(1400),
)


async def test_strangers_get_no_answer_and_are_counted() -> None:
    async with calls(1) as (port, [call]):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.settimeout(0)
            for datagram in STRANGE * 20:
                stranger.sendto(datagram, ("127.0.0.1", port.number))
            await heard(call)
            await asyncio.sleep(0.1)
            with pytest.raises(BlockingIOError):
                stranger.recv(2048)
        assert sum(port.board.dropped.values()) == len(STRANGE) * 20
        assert call.peer.connected


async def test_an_address_that_another_call_has_proven_to_be_its_own_is_that_calls() -> None:
    async with calls(2) as (port, (call, other)):
        await heard(other)
        [listening] = port._sockets.values()
        used = connection(other).agent.in_use
        assert used is not None
        await call.peer.close()
        assert used.route[1] in listening.known, "one call's end takes no other's address"
        await heard(other)


async def test_behind_a_one_to_one_nat_the_public_address_is_told_instead_of_ours() -> None:
    port = await Port.open(
        ["127.0.0.1", *(a for a in local_addresses(loopback=False) if ":" not in a)], public=["203.0.113.5"]
    )
    try:
        assert await port.candidates() == ["203.0.113.5", "127.0.0.1"]
    finally:
        port.close()


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there:
        there.bind(("127.0.0.1", 0))
        yield there.getsockname()[1]


async def test_a_port_that_somebody_has_is_not_shared_and_its_address_is_named(taken: int) -> None:
    with pytest.raises(OSError, match=r"127\.0\.0\.1") as error:
        await Port.open(["127.0.0.1"], taken)
    assert (error.value.errno, error.value.filename) == (errno.EADDRINUSE, "127.0.0.1")


@pytest.mark.parametrize("error", [OSError(errno.EMFILE, "too many open files"), RuntimeError("a mistake")])
async def test_a_socket_that_the_loop_does_not_take_is_closed(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound: list[socket.socket] = []

    async def refuses(protocol: object, *, sock: socket.socket) -> None:
        bound.append(sock)
        raise error

    monkeypatch.setattr(asyncio.get_running_loop(), "create_datagram_endpoint", refuses)
    with pytest.raises(type(error)):
        await Port.open(["127.0.0.1"])
    assert [sock.fileno() for sock in bound] == [-1]


async def test_a_udp_port_that_is_taken_is_told_in_one_sentence_and_with_any_free_port_another_is_found(
    taken: int,
) -> None:
    wanted = ["--ice-address", "127.0.0.1"]
    with pytest.raises(ConfigError, match=rf"UDP port {taken} on 127.0.0.1 is in use: choose another with --udp-port."):
        await open_udp_port(load([*wanted, "--udp-port", str(taken)], {}), 7860)
    port = await open_udp_port(load([*wanted, "--port", "0"], {}), taken)
    assert port is not None
    assert port.number != taken
    port.close()
    assert await open_udp_port(load([*wanted, "--udp-port", "0"], {}), 7860) is None


async def test_an_address_that_comes_is_listened_on_when_the_next_call_begins_and_one_that_goes_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = ["127.0.0.1"]
    port = await Port.open(lambda: there)
    try:
        there.append("127.0.0.2")
        assert await port.candidates() == ["127.0.0.1"], "it was looked at a moment ago"
        monkeypatch.setattr(sockets, "LOOK_SECONDS", 0.0)
        assert await port.candidates() == ["127.0.0.1", "127.0.0.2"]
        there.remove("127.0.0.1")
        assert await port.candidates() == ["127.0.0.2"]
        there.clear()
        assert await port.candidates() == ["127.0.0.2"], "no address at all is a moment between two"
    finally:
        port.close()


async def test_a_call_whose_address_is_gone_goes_on_at_another_that_it_has_or_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sockets, "LOOK_SECONDS", 0.0)
    there = ["127.0.0.1", "127.0.0.2"]
    port = await Port.open(lambda: there)
    made = [Call(prepare(["127.0.0.1"], tiers=["raw"], port=port)) for _ in range(2)]
    call, other = made
    try:
        await call.connect()
        there[:] = ["127.0.0.2"]
        await other.connect()
        async with asyncio.timeout(1):
            await call.owner.lost.wait()
        assert not call.owner.hung_up, "it may come back"
        assert not call.peer.send_rtp(b"\xd8\xff\xfe", 0, True, False)
        await heard(other)

        there[:] = ["127.0.0.2", "127.0.0.3"]
        await port.candidates()
        browser = Browser(connection(other).agent, *ice_words(other))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
            way.bind(("127.0.0.1", 0))
            way.setblocking(False)
            loop = asyncio.get_running_loop()
            way.sendto(browser.check(), ("127.0.0.3", port.number))
            way.sendto(browser.reply(await loop.sock_recv(way, 2048)), ("127.0.0.3", port.number))
            await loop.sock_recv(way, 2048)
            there[:] = ["127.0.0.3"]
            await port.candidates()
            used = connection(other).agent.in_use
            assert used is not None
            assert used.route[0].address == "127.0.0.3"
            other.peer.send_rtp(b"\xd8\xff\xfe", 0, True, False)
            async with asyncio.timeout(5):
                await loop.sock_recv(way, 2048)
            assert not other.owner.lost.is_set()
    finally:
        for one in made:
            one.microphone.stop()
            await one.peer.close()
            await one.browser.close()
        port.close()


async def test_calls_over_ipv6_are_calls_too(told: Callable[[str], None]) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        told(f"no call over IPv6 was tried, because this machine has none ({error.strerror})")
        return
    async with calls(2, address="::1") as (port, made):
        for call in made:
            assert candidates(call.answer) == [("::1", port.number)]
            await heard(call)
            used = connection(call).agent.in_use
            assert used is not None
            assert used.route[1][0] == "::1"
            call.channel.send("by IPv6")
        for call in made:
            async with asyncio.timeout(5):
                while "by IPv6" not in call.owner.messages:
                    await asyncio.sleep(0.01)
        await move(made[0])
        await heard(made[0])
