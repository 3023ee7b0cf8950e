"""Static files and the headers of every answer. A file is served only from below the root, by suffix, as written."""

import hashlib
import os
from pathlib import Path
from typing import Final

from aiohttp import web

from relay.errors import BrowserFault

# Only what a page is made of; a suffix that is not here is not there.
TYPES: Final = {
    "html": "text/html",
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
    "png": "image/png",
    "ico": "image/x-icon",
    "webp": "image/webp",
    "woff2": "font/woff2",
    "webmanifest": "application/manifest+json",
}
TEXT: Final = frozenset({"html", "css", "js", "svg"})
MAX_PATH_CHARS: Final = 200
MAX_FILE_BYTES: Final = 4 * 1024 * 1024  # each file is kept in memory; the whole page is under 200 KiB
INDEX: Final = "index.html"

POLICY: Final = "; ".join(
    (
        "default-src 'self'",
        "connect-src 'self'",
        "media-src 'self' blob:",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "object-src 'none'",
    )
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "Permissions-Policy": "microphone=(self), camera=(self), display-capture=(self)",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Server": "gemini-relay",
}


def root() -> Path:
    """Where the page lies: the package's own copy in an installed wheel, `static/` beside it in the checkout."""
    here = Path(__file__).resolve().parent
    inside = here / "static"
    return inside if inside.is_dir() else here.parent / "static"


class Pages:
    """Serves the files below `root`; each is read once and again when it changes."""

    def __init__(self, root: Path) -> None:
        self._root = os.path.realpath(root)
        self._read: dict[str, tuple[tuple[int, int], bytes, str]] = {}

    def routes(self) -> list[web.RouteDef]:
        """GET and HEAD for `/` and every path that ends in an allowed suffix; nothing is listed."""
        suffixes = "|".join(TYPES)
        return [web.get("/", self.serve), web.get(rf"/{{path:.+\.(?:{suffixes})}}", self.serve)]

    async def serve(self, request: web.Request) -> web.Response:
        """One file, or 304 when the browser has it; no-cache means: keep it, but ask each time."""
        body, tag, kind = self.find(request.match_info.get("path", INDEX))
        headers = {"ETag": f'"{tag}"', "Cache-Control": "no-cache"}
        known = request.if_none_match or ()
        if any(given.value in (tag, "*") for given in known):
            return web.Response(status=304, headers=headers)
        return web.Response(
            body=body, headers=headers, content_type=TYPES[kind], charset="utf-8" if kind in TEXT else None
        )

    def find(self, path: str) -> tuple[bytes, str, str]:
        """Contents, entity tag and suffix of an allowed file; ``not-found`` for every other path, whatever is there."""
        parts = path.split("/")
        if len(path) > MAX_PATH_CHARS or any(
            part.startswith(".") or not part or not part.isprintable() or set(part) & set("\\:") for part in parts
        ):
            raise BrowserFault("not-found")
        kind = path.rpartition(".")[2]
        try:
            real = os.path.realpath(os.path.join(self._root, *parts), strict=True)
            if os.path.commonpath((self._root, real)) != self._root or not os.path.isfile(real) or kind not in TYPES:
                raise BrowserFault("not-found")
            found = os.stat(real)
            stamp = (found.st_mtime_ns, found.st_size)
            known = self._read.get(real)
            if known is None or known[0] != stamp:
                if found.st_size > MAX_FILE_BYTES:
                    raise BrowserFault("not-found", "too large")
                body = Path(real).read_bytes()
                known = self._read[real] = (stamp, body, hashlib.sha256(body).hexdigest()[:32])
        except (OSError, ValueError):  # ValueError: NUL in the path, or another drive
            raise BrowserFault("not-found") from None
        return known[1], known[2], kind


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Give every answer the headers above; what is no page is not stored either."""
    response.headers.update(HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")
