"""Small changes to bytes, as a path or a liar makes them."""

import random
from typing import Final

KINDS: Final = ("set", "flip", "cut", "insert", "repeat")
MAX_BYTES: Final = 4096

Edit = tuple[str, int, bytes]
"""one of `KINDS`, a place that is taken modulo the length, and a few bytes"""


def edited(seed: bytes, edits: list[Edit]) -> bytes:
    """`seed` with these changes, one after the other."""
    data = bytearray(seed)
    for kind, place, value in edits:
        at = place % (len(data) + 1)
        some = slice(at, at + 1 + value[0] % 40)
        match kind:
            case "set":
                data[at : at + len(value)] = value
            case "flip":
                data[at : at + 1] = bytes(byte ^ value[0] for byte in data[at : at + 1])
            case "cut":
                del data[some]
            case "insert":
                data[at:at] = value
            case "repeat":
                data[at:at] = data[some]
    return bytes(data[:MAX_BYTES])


def any_edits(rng: random.Random) -> list[Edit]:
    """One to six changes."""
    return [
        (rng.choice(KINDS), rng.randrange(MAX_BYTES), rng.randbytes(rng.randint(1, 8)))
        for _ in range(rng.randint(1, 6))
    ]
