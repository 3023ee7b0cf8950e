"""What an answer of the model rests on when it searched: `groundingMetadata` of the Live API → `Grounding`. Pure.

Nothing in here is worth a turn: what is not as it should be is left out, and what is left of it told. All of it
together fits into a message of 64 KiB, which every browser takes (RFC 8841 §6.1).
"""

from collections.abc import Iterator
from typing import Any, Final

from relay.gemini.events import Grounding, Passage, Source

MAX_SOURCES: Final = 10  # of one answer; the model reads about five pages
MAX_PASSAGES: Final = 5  # of one source
MAX_PASSAGE: Final = 300  # characters; a passage is a sentence or two of the answer
MAX_ANSWER: Final = 2000  # characters of all passages
MAX_ADDRESS: Final = 1000  # characters; Google's have 300
MAX_RENDERED: Final = 16 * 1024  # characters of HTML; Google's has 5,000


def read(metadata: object) -> Grounding | None:
    """The sources of an answer, each with the passages that rest on it; None when it rests on none."""
    if not isinstance(metadata, dict):
        return None
    chunks, supports = _rows(metadata.get("groundingChunks")), list(_rows(metadata.get("groundingSupports")))
    sources = [_source(chunk.get("web"), n, supports) for n, chunk in enumerate(chunks) if n < MAX_SOURCES]
    found = tuple(source for source in sources if source is not None)
    entry = metadata.get("searchEntryPoint")
    rendered = entry.get("renderedContent") if isinstance(entry, dict) else None
    if not isinstance(rendered, str) or len(rendered) > MAX_RENDERED:
        rendered = ""
    answer = " ".join(dict.fromkeys(filter(None, map(_passage, supports))))
    return Grounding(answer[:MAX_ANSWER], found, _writable(rendered)) if found or rendered else None


def _source(web: object, index: int, supports: list[dict[str, Any]]) -> Source | None:
    if not isinstance(web, dict):
        return None
    address = _text(web.get("uri"), MAX_ADDRESS + 1)
    if len(address) > MAX_ADDRESS or not address.startswith(("https://", "http://")):
        return None  # an app makes a link of it: no javascript: for that
    passages = []
    for support in supports:
        indices = support.get("groundingChunkIndices")
        if isinstance(indices, list) and index in indices and (text := _passage(support)):
            passages.append(Passage(text, tuple(_scores(support.get("confidenceScores")))))
    return Source(address, _text(web.get("title"), MAX_PASSAGE), tuple(passages[:MAX_PASSAGES]))


def _passage(support: dict[str, Any]) -> str:
    segment = support.get("segment")
    return _text(segment.get("text"), MAX_PASSAGE) if isinstance(segment, dict) else ""


def _scores(raw: object) -> Iterator[float]:
    for score in raw[:MAX_SOURCES] if isinstance(raw, list) else ():
        if isinstance(score, int | float) and 0 <= score <= 1:
            yield float(score)


def _rows(raw: object) -> Iterator[dict[str, Any]]:
    """As many as make sense; what is no object is an empty one, for sources go by their number."""
    for row in raw[: MAX_SOURCES * MAX_PASSAGES] if isinstance(raw, list) else ():
        yield row if isinstance(row, dict) else {}


def _text(value: object, limit: int) -> str:
    return _writable(value[:limit]) if isinstance(value, str) else ""


def _writable(text: str) -> str:
    """Without half a surrogate pair, which JSON can spell and nobody can write down."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
