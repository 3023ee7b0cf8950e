"""The page is up before the models of the local voice are: nobody waits in front of an address that does not answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from aiohttp import ClientSession

from tests.process import owners_relay

PATIENCE_S: Final = 60.0  # on a machine that has much to do

# Stands before the real package on the path, and lets nobody have it until there is a file `go` beside it.
SLOW: Final = """
import importlib, pathlib, sys, time

here = pathlib.Path(__file__).parent
while not (here / "go").exists():
    time.sleep(0.02)
sys.path.remove(str(here))
del sys.modules["onnxruntime"]
importlib.import_module("onnxruntime")
"""


@asynccontextmanager
async def relay(folder: Path) -> AsyncIterator[str]:
    """The relay as its owner starts it, without a key; its models load when there is a file `go` in `folder`."""
    (folder / "onnxruntime.py").write_text(SLOW)
    async with owners_relay(folder, "--drain", "0", patience=PATIENCE_S, modules=[folder]) as base:
        try:
            yield base.rstrip("/")
        finally:
            (folder / "go").touch()


async def test_the_page_answers_while_the_models_still_load(tmp_path: Path) -> None:
    async with relay(tmp_path) as base, ClientSession() as http:

        async def health() -> dict[str, Any]:
            async with http.get(f"{base}/healthz") as answer:
                told = await answer.json()
            assert isinstance(told, dict)
            return told

        async with http.get(base) as page:
            assert page.status == 200
            assert "Start talking" in await page.text()
        assert (await health())["localVoice"] == "starting"
        (tmp_path / "go").touch()
        async with asyncio.timeout(PATIENCE_S):
            while (how := (await health())["localVoice"]) == "starting":
                await asyncio.sleep(0.1)
        assert how == "ready"
