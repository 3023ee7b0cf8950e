"""Who a datagram is for, of all the calls on one port: by the name it asks for, the mark it answers, or its stream.

Pure. Where a call's packets come from is known as soon as a path is proven, and such addresses are looked up in a plain
dictionary, before this: here comes only what is not sound or data of an address that we know. It may be anything.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

from relay.webrtc.port import stun

T = TypeVar("T")

# Nobody has that name, asked that question, sends that stream; and what `agent.Agent` refuses.
CAUSES: Final = ("name", "answer", "stranger", "rate", "unsigned", "strange", "role", "again")
MARK_BYTES: Final = 4
# ICE asks for 24 random bits (RFC 8445 §5.3), which 10,000 calls would share now and then.
NAME_LETTERS: Final = 8
MAX_STREAMS: Final = 8  # of one call: sound, two pictures of three sizes, and one to spare
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
PASSWORD_LETTERS: Final = 24  # 144 bits; RFC 8445 §5.3 asks for 128


class Switchboard(Generic[T]):
    """The calls by their names; `dropped` counts by cause (`CAUSES`) what was nobody's, and what its calls refused."""

    def __init__(self, random: Callable[[int], bytes]) -> None:
        self._random = random
        self._names: dict[str, T] = {}
        self._marks: dict[bytes, T] = {}
        self._streams: dict[bytes, T] = {}
        self._announced: dict[T, list[bytes]] = {}
        self.dropped: Counter[str] = Counter(dict.fromkeys(CAUSES, 0))

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: str) -> bool:
        """Somebody is called by that name: the user fragment of its answer."""
        return name in self._names

    def word(self, letters: int) -> str:
        """So many random letters that ICE allows (RFC 8839 §5.4)."""
        return "".join(_LETTERS[byte & 63] for byte in self._random(letters))

    def enter(self, owner: T) -> tuple[str, bytes]:
        """The name and the mark of a call from now on."""
        while (name := self.word(NAME_LETTERS)) in self._names:
            pass
        while (mark := self._random(MARK_BYTES)) in self._marks:
            pass
        self._names[name] = self._marks[mark] = owner
        return name, mark

    @property
    def calls(self) -> list[T]:
        """All that are there now."""
        return list(self._names.values())

    def expect(self, owner: T, streams: Iterable[int]) -> None:
        """The SSRCs that a call announced last, and no others; one that another call has is not taken from it."""
        self._forget_streams(owner)
        words = dict.fromkeys(ssrc.to_bytes(4) for ssrc in list(streams)[:MAX_STREAMS])
        self._announced[owner] = new = [word for word in words if word not in self._streams]
        self._streams.update(dict.fromkeys(new, owner))

    def leave(self, name: str, mark: bytes) -> None:
        """The call is over; idempotent."""
        owner = self._names.pop(name, None)
        self._marks.pop(mark, None)
        if owner is not None:
            self._forget_streams(owner)

    def _forget_streams(self, owner: T) -> None:
        for word in self._announced.pop(owner, []):
            del self._streams[word]

    def find(self, data: bytes) -> T | None:
        """Whose datagram it is, from an address that is not known; None and counted if it is nobody's.

        It is not checked: that is for the call, which has the keys.
        """
        first = data[0] if data else 255
        if first < 2:  # RFC 7983 §7: STUN is 0 to 3, and its two lowest bits here are of the method
            if first == 0:
                cause, owner = "name", self._names.get(stun.user_of(data).partition(":")[0])
            else:
                cause, owner = "answer", self._marks.get(data[8 : 8 + MARK_BYTES])
        else:
            cause, owner = "stranger", self.speaker(data)
        if owner is None:
            self.dropped[cause] += 1
        return owner

    def speaker(self, data: bytes) -> T | None:
        """Whose stream it is of, by its own word, if it looks like sound or a report; not counted."""
        if len(data) < 12 or not 127 < data[0] < 192:
            return None
        # RFC 5761 §4: in a report the sender stands one word earlier than in a packet of sound
        at = 4 if 191 < data[1] < 224 else 8
        return self._streams.get(data[at : at + 4])
