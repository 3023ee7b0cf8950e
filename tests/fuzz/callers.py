"""Targets of the one port: anybody's datagrams to the switchboard and its calls, and two honest browsers among them."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from relay.webrtc.port import stun
from relay.webrtc.port.lite import BURST_CHECKS, CHECKS_PER_SECOND, MAX_ASKED, MAX_WAYS, LiteAgent, Route
from relay.webrtc.port.switchboard import PASSWORD_LETTERS, Switchboard
from tests.checker import Browser, Dice
from tests.fuzz.reader import Reader

ADDRESSES: Final = tuple(
    (f"socket {n % 2}", (f"203.0.113.{n}" if n % 3 else f"2001:db8::{n:x}", 1024 + n)) for n in range(40)
)
HOMES: Final = (("socket 0", ("192.0.2.1", 50000)), ("socket 1", ("192.0.2.2", 50000)))
STREAMS: Final = (0x1111, 0x2222)


def stunned(data: bytes) -> None:
    """One message: whatever is read is bounded, and not believed for its own sake."""
    message = stun.read(data)
    name = stun.user_of(data)
    assert len(name) <= len(data)
    if message is not None:
        assert message.size == len(data) <= stun.MAX_MESSAGE_BYTES
        assert len(message.transaction) == 12
        assert not message.signed_with(b"a password that nobody knows")


@dataclass(eq=False)
class _Call:
    agent: LiteAgent
    browser: Browser
    home: Route
    given: Counter[Route] = field(default_factory=Counter)  # bytes that came from there, less those that went


class _Exchange:
    """Two calls behind one switchboard, and who writes to them."""

    def __init__(self, script: Reader) -> None:
        self.script = script
        self.now = 0.0
        self.board: Switchboard[_Call] = Switchboard(Dice())
        self.calls: list[_Call] = []
        for number, home in enumerate(HOMES):
            agent = LiteAgent("", self.board.word(PASSWORD_LETTERS).encode(), b"", Dice())
            call = _Call(agent, Browser(agent, user=f"browser{number}"), home)
            agent.user, agent.mark = self.board.enter(call)
            agent.meet(call.browser.user, call.browser.password)
            self.board.expect(call, [STREAMS[number]])
            self.calls.append(call)
        self.seen = [b"\0\1\0\0\x21\x12\xa4\x42" + bytes(12)]  # what passed on the wire, for whoever repeats it
        self.acts = (
            *(self.check, self.check, self.repeat, self.repeat_changed, self.anything, self.wait, self.sound),
            *(self.answer_blindly, self.nominate_elsewhere, self.flood),
        )

    def act(self) -> None:
        self.acts[self.script.number() % len(self.acts)]()
        for call in self.calls:
            agent = call.agent
            assert len(agent.ways) <= MAX_WAYS
            assert all(way.asked < MAX_ASKED for way in agent.ways.values())
            assert agent.in_use is None or agent.in_use.route == call.home, "nobody else ever answered a question"
            agent.forgotten.clear()

    def arrive(self, data: bytes, route: Route) -> None:
        """As a socket does it, from an address that is not known."""
        call = self.board.find(data)
        if call is None:
            return
        agent, given = call.agent, call.given
        given[route] += len(data)
        stun_came = data[0] < 4
        replies = agent.take(data, route, self.now) if stun_came else agent.follow(route, len(data), self.now)
        assert len(replies) <= 2
        self.seen += replies
        given[route] -= sum(map(len, replies))
        assert route == call.home or given[route] >= 0, "nobody is sent more than he gave"
        if route == call.home:
            for question in (reply for reply in replies if reply[:2] == b"\0\1"):
                agent.take(call.browser.reply(question), route, self.now)

    def somebody(self) -> tuple[_Call, Route]:
        number = self.script.number()
        call = self.calls[number & 1]
        return call, call.home if number & 2 else ADDRESSES[number % len(ADDRESSES)]

    def check(self) -> None:
        call, _ = self.somebody()
        data = call.browser.check(nominate=bool(self.script.number() & 1))
        self.seen.append(data)
        self.arrive(data, call.home)

    def nominate_elsewhere(self) -> None:
        """The browser itself writes somebody else's address on its check."""
        call, route = self.somebody()
        self.arrive(call.browser.check(nominate=True, priority=self.script.number(4)), route)

    def repeat(self) -> None:
        _, route = self.somebody()
        stolen = self.seen[self.script.number() % len(self.seen)]
        if route not in HOMES:
            self.arrive(stolen, route)

    def repeat_changed(self) -> None:
        _, route = self.somebody()
        data = bytearray(self.seen[self.script.number() % len(self.seen)])
        for _ in range(1 + self.script.number() % 4):
            place = self.script.number(2) % (len(data) + 1)
            data[place : place + 1] = self.script.take(self.script.number() % 4)
        self.arrive(bytes(data), route)

    def anything(self) -> None:
        _, route = self.somebody()
        self.arrive(self.script.take(self.script.number()), route)

    def answer_blindly(self) -> None:
        call, route = self.somebody()
        marked = self.board.find(b"\1\1\0\0\x21\x12\xa4\x42" + call.agent.mark + self.script.take(8))
        assert marked is call
        self.arrive(b"\1\1\0\x20\x21\x12\xa4\x42" + call.agent.mark + self.script.take(40), route)

    def sound(self) -> None:
        call, route = self.somebody()
        ssrc = STREAMS[self.calls.index(call)]
        if call.agent.in_use is not None:  # the key is known: it is the browser's own
            self.arrive(b"\x80\x6f" + self.script.take(6).ljust(6, b"\0") + ssrc.to_bytes(4) + bytes(20), route)

    def wait(self) -> None:
        self.now += self.script.number() / 20

    def flood(self) -> None:
        _, route = self.somebody()
        data = self.seen[self.script.number() % len(self.seen)]
        for _ in range(self.script.number()):
            if route not in HOMES:
                self.arrive(data, route)

    def be_honest(self) -> None:
        """Both browsers find their calls, when what was too much is over."""
        self.now += 1 + BURST_CHECKS / CHECKS_PER_SECOND
        for call in self.calls:
            for _ in range(100):
                self.now += 1.0
                self.arrive(call.browser.check(nominate=True), call.home)
                if call.agent.in_use is not None:
                    break
            assert call.agent.in_use is not None
            assert call.agent.in_use.route == call.home
            call.agent.forgotten.clear()
            self.board.leave(call.agent.user, call.agent.mark)
        assert len(self.board) == 0


def exchanged(data: bytes) -> None:
    """Datagrams of anybody, by the script: honest browsers are found, nobody else gets more than he gave."""
    exchange = _Exchange(Reader(data))
    while exchange.script:
        exchange.act()
    exchange.be_honest()
