"""Bundles of the apps and of the unmodified npm packages that they import, made anew for each run."""

import asyncio
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).parent.parent
NODE_MODULES: Final = TESTS / "node_modules"
APPS: Final = Path(__file__).parent / "apps"
BUNDLE_SECONDS: Final = 60.0  # it takes half a second


async def bundle(entries: Sequence[Path], folder: Path, *, name: str = "[name]") -> None:
    """Write one module for each entry into `folder`, by its name or `name`, with all that it imports."""
    esbuild = NODE_MODULES / ".bin" / "esbuild"
    assert esbuild.exists(), "the tests' npm packages are missing: `make test` would have installed them"
    arguments = ["--bundle", "--format=esm", "--jsx=automatic", "--log-level=warning", f"--entry-names={name}"]
    process = await asyncio.create_subprocess_exec(
        esbuild, *map(str, entries), *arguments, f"--outdir={folder}",
        env={**os.environ, "NODE_PATH": str(NODE_MODULES)},
    )  # fmt: skip
    async with asyncio.timeout(BUNDLE_SECONDS):
        assert await process.wait() == 0, "esbuild failed"


async def bundle_apps(folder: Path) -> None:
    """The apps of these tests, with the pages that load them."""
    await bundle([APPS / "kit.js", APPS / "react.jsx"], folder)
    for name in ("index.html", "wire.js"):
        shutil.copy(APPS / name, folder)
