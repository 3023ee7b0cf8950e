"""The page is up before the models of the local voice are: nobody waits in front of an address that does not answer."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from aiohttp import ClientSession

ROOT: Final = Path(__file__).parent.parent
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
    ours = {name: text for name, text in os.environ.items() if not name.startswith(("RELAY_", "GEMINI_", "GOOGLE_"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "signaling", "--port", "0", "--drain", "0"),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        cwd=folder, env={**ours, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)).decode()
        found = re.search(r"http://\S+", line)
        assert found, line
        yield found.group().rstrip("/")
    finally:
        (folder / "go").touch()
        process.terminate()
        await asyncio.wait_for(process.communicate(), PATIENCE_S)


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
