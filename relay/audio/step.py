"""What is to be done for the decoder, step by step, so that the model hears a stream without holes. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Play:
    """Decode `payload`."""

    payload: bytes
    ticks: int


@dataclass(frozen=True, slots=True)
class Recover:
    """Decode the FEC in `following`, which stands for the `ticks` before it; its own `Play` comes next."""

    following: bytes
    ticks: int


@dataclass(frozen=True, slots=True)
class Conceal:
    """Let the decoder invent `ticks`: a multiple of 2.5 ms."""

    ticks: int


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing was said for `ticks`, as far as anybody knows."""

    ticks: int


@dataclass(frozen=True, slots=True)
class Reset:
    """Reset the decoder: what follows does not continue what came before."""

    ticks: int = 0


Step = Play | Recover | Conceal | Silence | Reset
