"""What a phone's camera makes of a QR code, drawn in a terminal, by SVG, or on a page."""

import io
import re
from typing import Any, Final

import av
import numpy as np
import zxingcpp

DARK, LIGHT = 0, 255
PIXELS: Final = 4  # of a module

Picture = np.ndarray[Any, np.dtype[np.uint8]]
"""rows of grey pixels"""


def read(picture: Picture) -> str:
    """The one code in a picture."""
    (code,) = zxingcpp.read_barcodes(picture)
    return str(code.text)


def of_modules(rows: Any) -> Picture:
    """Of rows of modules, true for dark ones."""
    return _enlarged(np.where(np.array(rows, bool), DARK, LIGHT).astype(np.uint8))


def of_path(drawn: str, size: int) -> Picture:
    """Drawn as SVG draws it, in a square of `size`; nothing but rectangles may be in it."""
    assert re.fullmatch(r"(M\d+ \d+h\d+v1h-\d+z)+", drawn), drawn[:80]
    picture = np.full((size, size), LIGHT, np.uint8)
    for x, y, width in re.findall(r"M(\d+) (\d+)h(\d+)", drawn):
        picture[int(y), int(x) : int(x) + int(width)] = DARK
    return _enlarged(picture)


def of_terminal(text: str) -> Picture:
    """In a dark terminal: blocks are light, the rest is dark. Lines that are no part of it are left out."""
    lines = [line for line in text.splitlines() if line and set(line) <= set("█▀▄ ")]
    halves = [[LIGHT if char in lit else DARK for char in line] for line in lines for lit in ("█▀", "█▄")]
    return _enlarged(np.array(halves, np.uint8))


def of_screenshot(png: bytes) -> Picture:
    """As it is on the screen."""
    with av.open(io.BytesIO(png), mode="r") as file:
        return next(file.decode(video=0)).to_ndarray(format="gray").astype(np.uint8)


def _enlarged(picture: Picture) -> Picture:
    return np.kron(picture, np.ones((PIXELS, PIXELS), np.uint8))
