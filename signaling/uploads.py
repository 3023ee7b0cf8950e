"""Uploads: one picture by `multipart/form-data` into a live call, to be sent to the model by a message later.

The session's id lets in by itself, as it does for offers. The body is read as it comes, and never more of it than the
limit is kept.
"""

import asyncio
from typing import Final

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from relay.errors import BrowserFault
from relay.files import MAX_FILE_BYTES, picture_format
from signaling.registry import Registry, State

UPLOAD: Final = "upload"  # the route's name
FIELD: Final = "file"
UPLOAD_SECONDS: Final = 60.0  # for the whole body: 5 MiB at 0.7 Mbit/s
ENVELOPE_BYTES: Final = 64 * 1024  # boundaries, part headers, and small fields around the file
CHUNK_BYTES: Final = 64 * 1024


class Uploads:
    """The one route of uploads."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def routes(self) -> list[web.RouteDef]:
        """Where `/start` says that files go."""
        return [web.post("/sessions/{id}/files", self.upload, name=UPLOAD)]

    async def upload(self, request: web.Request) -> web.Response:
        """Keep the picture and say where it is; the answer is what a `send-file` has as its `file`."""
        loop = asyncio.get_running_loop()
        entry = self._registry.find(request.match_info["id"], loop.time())
        if entry.call is None:
            raise BrowserFault("no-call-yet")
        if request.content_type != "multipart/form-data" or "Content-Encoding" in request.headers:
            raise BrowserFault("bad-upload-type")
        if (request.content_length or 0) > MAX_FILE_BYTES + ENVELOPE_BYTES:
            raise BrowserFault("file-too-large")
        try:
            async with asyncio.timeout(UPLOAD_SECONDS), entry.upload:  # one at a time, or ten take ten times the memory
                name, content = await _file_in(request)
        except TimeoutError:
            raise BrowserFault("upload-timeout") from None
        format = picture_format(content)
        if format is None:
            raise BrowserFault("bad-file-type")
        if entry.call is None or entry.state is not State.LIVE:  # it ended meanwhile
            raise BrowserFault("unknown-peer")
        return web.json_response(entry.call.files.put(content, format, name).told())


def upload_url(id: str) -> str:
    """Where files for that session go, relative to where `/start` was asked."""
    return f"/sessions/{id}/files"


async def _file_in(request: web.Request) -> tuple[str, bytes]:
    """Name and content of the first part that is called `FIELD`; parts before it are read and forgotten."""
    try:
        parts = await request.multipart()
        skipped = 0
        while (part := await parts.next()) is not None:
            if not isinstance(part, BodyPartReader):
                raise BrowserFault("bad-upload", "parts within parts")
            if part.name == FIELD:
                return part.filename or "", await _read(part, MAX_FILE_BYTES)
            skipped += len(await _read(part, ENVELOPE_BYTES))
            if skipped > ENVELOPE_BYTES:
                raise BrowserFault("file-too-large")
    except (ValueError, AssertionError, RuntimeError, HttpProcessingError, web.RequestPayloadError) as error:
        # what aiohttp's reader raises on a malformed body
        raise BrowserFault("bad-upload", type(error).__name__) from None
    raise BrowserFault("bad-upload", "no file")


async def _read(part: BodyPartReader, limit: int) -> bytes:
    content = bytearray()
    while chunk := await part.read_chunk(CHUNK_BYTES):
        content += chunk
        if len(content) > limit:
            raise BrowserFault("file-too-large")
    return bytes(content)
