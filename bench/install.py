"""`make run` on a fresh copy, without a key: how soon it talks, and what it takes on disk. `--only install`.

A clone of this checkout's last commit, an environment of its own and no cache of pip's, so it asks the network, and
takes minutes. All of it is in a folder that is removed.
"""

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from bench.report import Row

ROOT: Final = Path(__file__).parent.parent
LONGEST_S: Final = 600.0
STOP_S: Final = 40.0
READY_S: Final = 180.0
DISK_MB: Final = 700.0


class NotReady(Exception):
    """The text says in a sentence what was to be seen instead."""


def rows(options: argparse.Namespace) -> Iterator[Row]:
    """For `bench`."""
    try:
        yield from _figures()
    except (NotReady, OSError, subprocess.CalledProcessError) as why:  # there may be no network
        yield Row(
            "make run on a fresh copy → ready to talk", [], "s", READY_S, f"not measured: {why}".replace("\n", " ")
        )


def _figures() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        copy, home = Path(folder, "copy"), Path(folder, "home")
        home.mkdir()
        subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(copy)], check=True)
        with made(copy, home) as (process, began):
            said: list[str] = []
            base = _until_it_listens(process, said)
            page = time.monotonic() - began
            _until_it_talks(base, began)
            took = time.monotonic() - began
            size = _megabytes(Path(folder))
        progress = sum("Installing the local voice" in line for line in said)
        yield Row("make run on a fresh copy → the page", [page], "s", None, "the network included")
        yield Row("make run on a fresh copy → ready to talk", [took], "s", READY_S, "the network included")
        yield Row("the same: lines that say what it does", [progress], "", 1, least=True)
        yield Row("the same: on disk, in all", [size], "MB", DISK_MB)


@contextlib.contextmanager
def made(copy: Path, home: Path) -> Iterator[tuple["subprocess.Popen[str]", float]]:
    """`make run` there, for somebody who has nothing else; and when it began."""
    names = ("PATH", "LANG", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
             "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_INDEX_URL", "PIP_CERT", "PIP_CONFIG_FILE")  # fmt: skip
    environment = {name: os.environ[name] for name in names if name in os.environ}
    began = time.monotonic()
    process = subprocess.Popen(
        ["make", "run", "ARGS=--port 0 --drain 0"], cwd=copy, text=True, start_new_session=True,
        env={**environment, "HOME": str(home), "PIP_NO_CACHE_DIR": "1"},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield process, began
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _until_it_listens(process: "subprocess.Popen[str]", said: list[str]) -> str:
    """Its address; what it says before is shown, and kept in `said`."""
    out: IO[str] | None = process.stdout
    assert out is not None
    for line in out:
        said.append(line)
        if found := re.search(r"http://[\w.-]+:\d+", line):
            return found.group()
        print(f"  {line.rstrip()}", file=sys.stderr)
    raise NotReady("make run ended: " + "".join(said[-5:]))


def _until_it_talks(base: str, began: float) -> None:
    how = ""
    while time.monotonic() - began < LONGEST_S:
        with urllib.request.urlopen(f"{base}/healthz", timeout=10) as answer:
            how = json.load(answer).get("localVoice", "")
        if how == "ready":
            return
        if how != "starting":
            break
        time.sleep(0.1)
    raise NotReady(f"the local voice is {how or 'not there'}")


def _megabytes(folder: Path) -> float:
    """What it takes on disk, blocks and all; a file that has two names counts once."""
    seen, blocks = set(), 0
    for path in folder.rglob("*"):
        held = path.lstat()
        if held.st_ino not in seen:
            seen.add(held.st_ino)
            blocks += held.st_blocks
    return blocks * 512 / 1e6
