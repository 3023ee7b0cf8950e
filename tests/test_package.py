"""A wheel, installed far from the checkout, is the whole relay: its modules, its command and its page."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import aiohttp
import pytest

ROOT: Final = Path(__file__).parent.parent
IN_THE_WHEEL: Final = ("relay", "signaling", "static", "pyproject.toml", "README.md", "LICENSE")
READY_SECONDS: Final = 15.0
"""A cold start reads every module from disk and compiles it; `bench` measures the warm one."""


def _pip(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "PIP_NO_INDEX": "1"})


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, because setuptools leaves its traces where it builds; it needs no network."""
    source = tmp_path_factory.mktemp("source")
    for name in IN_THE_WHEEL:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    built = tmp_path_factory.mktemp("wheel")
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", built, source)
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    _pip("install", "--no-deps", "--target", target, wheel)
    return target


def test_every_module_and_every_file_of_the_page_is_in_the_wheel(wheel: Path) -> None:
    modules = {str(path.relative_to(ROOT)) for room in ("relay", "signaling") for path in (ROOT / room).rglob("*.py")}
    page = {f"signaling/static/{path.relative_to(ROOT / 'static')}" for path in (ROOT / "static").rglob("*.*")}
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert modules | page <= names
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"relay", "signaling"}


@pytest.fixture
async def address(installed: Path, tmp_path: Path) -> AsyncIterator[str]:
    """The address that the installed relay prints, started from a directory that has nothing to do with it."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("RELAY_", "GEMINI_", "GOOGLE_", "PYTHON"))}
    environment |= {"PYTHONPATH": str(installed), "PYTHONUNBUFFERED": "1", "XDG_STATE_HOME": str(tmp_path / "state")}
    # fmt: off
    server = await asyncio.create_subprocess_exec(
        sys.executable, str(installed / "bin" / "gemini-relay"), "--model", "local", "--port", "0",
        cwd=tmp_path, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )
    # fmt: on
    try:
        yield await asyncio.wait_for(_printed_address(server), READY_SECONDS)
    finally:
        if server.returncode is None:
            server.terminate()
        await asyncio.wait_for(server.communicate(), READY_SECONDS)


async def _printed_address(server: asyncio.subprocess.Process) -> str:
    assert server.stdout is not None
    said = ""
    while line := (await server.stdout.readline()).decode():
        said += line
        if found := re.search(r"http://127\.0\.0\.1:\d+", line):
            return found.group()
    raise AssertionError(f"the relay ended before it was ready:\n{said}")


async def test_the_installed_relay_serves_its_page(installed: Path, address: str) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{address}/") as response:
            page = await response.text()
            assert response.status == 200
        assert page == (installed / "signaling" / "static" / "index.html").read_text(encoding="utf-8")
        for name in re.findall(r'(?:src|href)="([\w./-]+\.(?:js|css))"', page):
            async with http.get(f"{address}/{name.removeprefix('/')}") as response:
                assert response.status == 200, name
