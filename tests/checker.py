"""A browser's side of ICE, message by message, coded with aioice so that a mistake of ours is not repeated here."""

from dataclasses import dataclass, field
from typing import Final

from aioice import stun

from relay.webrtc.port.lite import LiteAgent
from relay.webrtc.port.switchboard import MARK_BYTES

CONTROLLING, CONTROLLED = "ICE-CONTROLLING", "ICE-CONTROLLED"
PRIORITY: Final = 1845501695


class Dice:
    """As random as a test needs: bytes that never come twice."""

    def __init__(self) -> None:
        self._drawn = 0

    def __call__(self, size: int) -> bytes:
        self._drawn += 1
        return self._drawn.to_bytes(size, "little") if size > 1 else bytes([self._drawn % 256])


@dataclass
class Browser:
    """Who calls the agent; `user` and `password` are its own."""

    agent: LiteAgent
    user: str = "them"
    password: str = "the-browsers-own-password"
    dice: Dice = field(default_factory=Dice)

    def check(
        self,
        *,
        nominate: bool = False,
        priority: int = PRIORITY,
        role: str = CONTROLLING,
        name: str = "",
        password: str = "",
        spare: int = 0,
    ) -> bytes:
        """A connectivity check; `name` and `password` are wrong ones, `spare` so many bytes more."""
        message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, transaction_id=self.dice(12))
        message.attributes["USERNAME"] = name or f"{self.agent.user}:{self.user}"
        message.attributes["PRIORITY"] = priority
        message.attributes[role] = 7
        if nominate:
            message.attributes["USE-CANDIDATE"] = None
        if spare:
            message.attributes["SOFTWARE"] = "x" * spare
        message.add_message_integrity((password or self.agent.password.decode()).encode())
        return bytes(message)

    def reply(self, question: bytes, *, password: str = "", refuse: bool = False) -> bytes:
        """The answer to a check of the relay's, which must be one; `password` is a wrong one."""
        asked = stun.parse_message(question)
        assert asked.message_class == stun.Class.REQUEST
        assert asked.attributes["USERNAME"] == f"{self.user}:{self.agent.user}"
        assert asked.check_message_integrity(self.password.encode())
        assert CONTROLLED in asked.attributes
        kind = stun.Class.ERROR if refuse else stun.Class.RESPONSE
        message = stun.Message(stun.Method.BINDING, kind, transaction_id=asked.transaction_id)
        if refuse:
            message.attributes["ERROR-CODE"] = (487, "Role Conflict")
        else:
            message.attributes["XOR-MAPPED-ADDRESS"] = ("192.0.2.1", 7860)
        message.add_message_integrity((password or self.password).encode())
        return bytes(message)


def met(user: str = "ours", password: str = "a-password-of-the-relays") -> tuple[LiteAgent, Browser]:
    """An agent that knows its browser, and that browser."""
    agent = LiteAgent(user, password.encode(), b"mark"[:MARK_BYTES], Dice())
    browser = Browser(agent)
    agent.meet(browser.user, browser.password)
    return agent, browser
