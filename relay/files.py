"""Pictures that the app uploads during a call, kept in memory until a message sends them to the model. Pure: no clock.

Nothing is written to disk, and what is kept goes with the call.
"""

from dataclasses import dataclass, field
from typing import Final

MAX_FILE_BYTES: Final = 5 * 1024 * 1024  # a telephone's photograph; the model looks at 768 pixels of it
MAX_FILES: Final = 10  # kept for one call; the oldest that was not sent is dropped
MAX_KEPT_BYTES: Final = 4 * MAX_FILE_BYTES  # by one call, or a hundred of them could take 5 GB
MAX_NAME_CHARS: Final = 100
SCHEME: Final = "relay:"

# What a file is, its first bytes say; what the uploader calls it is nobody's proof.
_JPEG, _PNG, _RIFF, _WEBP = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF", b"WEBP"


@dataclass(frozen=True, slots=True)
class File:
    """One picture: its MIME type, the name that the app gave it, and where it is found."""

    url: str
    format: str
    name: str
    content: bytes = field(repr=False)

    def told(self) -> dict[str, object]:
        """What the uploader is answered, ready to be the `file` of a `send-file`."""
        return {"name": self.name, "format": self.format, "source": {"type": "url", "url": self.url}}


class Files:
    """What one call keeps: `MAX_FILES` and `MAX_KEPT_BYTES` at most, the oldest are dropped for the newest."""

    def __init__(self) -> None:
        self._kept: dict[str, File] = {}
        self._count = 0

    def put(self, content: bytes, format: str, name: str = "") -> File:
        """Keep a picture of at most `MAX_FILE_BYTES`; its URL means something in this call alone."""
        self._count += 1
        file = File(f"{SCHEME}{self._count}", format, _plain(name) or "picture", content)
        self._kept[file.url] = file
        while len(self._kept) > MAX_FILES or sum(len(one.content) for one in self._kept.values()) > MAX_KEPT_BYTES:
            del self._kept[next(iter(self._kept))]
        return file

    def take(self, url: str) -> File | None:
        """The picture at that URL, which is then forgotten here; None if there is none, or no longer."""
        return self._kept.pop(url, None)


def picture_format(content: bytes) -> str | None:
    """The MIME type of a JPEG, PNG or WebP picture by its first bytes; None for whatever else it may be."""
    if content.startswith(_JPEG):
        return "image/jpeg"
    if content.startswith(_PNG):
        return "image/png"
    if content.startswith(_RIFF) and content[8:12] == _WEBP:
        return "image/webp"
    return None


def _plain(name: str) -> str:
    """The last part of a file's path, without what cannot be printed."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(c for c in last if c.isprintable())[:MAX_NAME_CHARS].strip()
