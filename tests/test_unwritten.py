"""What is said on a call is never written to disk, nor to the log: looked for while the call lives, and after it."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import aiohttp

from tests.caller import Caller
from tests.test_main import address, only_child, process

CANARY: Final = "Xylofolia Quexbury"
FORMS: Final = tuple(CANARY.encode(encoding) for encoding in ("utf-8", "utf-16-le", "utf-32-le"))


def open_for_writing(pid: int) -> Iterator[Path]:
    """The regular files that this process could write to, unlinked ones included (Linux)."""
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            flags = next(
                int(line.split()[1], 8)
                for line in Path(f"/proc/{pid}/fdinfo/{entry.name}").read_text().splitlines()
                if line.startswith("flags:")
            )
            if entry.is_file() and flags & os.O_ACCMODE != os.O_RDONLY:
                yield entry.resolve()
        except FileNotFoundError:
            continue  # closed meanwhile


def written_below(folder: Path) -> list[Path]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if any(form in path.read_bytes() for form in FORMS)]


async def test_what_is_said_reaches_the_transcript_and_no_file_and_no_log(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    places = dict.fromkeys(("HOME", "TMPDIR", "TEMP", "TMP", "XDG_CACHE_HOME", "XDG_STATE_HOME"), str(home))
    flags = ("--port", "0", "--ice-address", "127.0.0.1", "--greeting", "", "--log-level", "debug")
    async with process(tmp_path, *flags, **places) as child, aiohttp.ClientSession() as http:
        base = await address(child)
        async with Caller(base) as caller:
            await caller.dial()
            await caller.message("bot-ready")
            caller.send("send-text", {"content": CANARY, "options": {}})
            await caller.message("bot-stopped-speaking", timeout=10)
            assert written_below(tmp_path) == []
            for pid in (child.pid, only_child(child.pid)):
                assert list(open_for_writing(pid)) == []
            await caller.hang_up()
        key = {"Authorization": f"Bearer {caller.secret}"}
        async with http.get(f"{base}/sessions/{caller.session_id}/transcript", headers=key) as answer:
            assert CANARY in (await answer.text()), "it was there to be written"
        child.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            out, err = await child.communicate()
    assert all(form not in out + err for form in FORMS)
    assert b"closed" in err, "the log was on"
    assert written_below(tmp_path) == []
