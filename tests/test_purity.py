"""The borders inside the house: pure rooms do no I/O and own no clock; four files touch private parts of libraries."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent

PURE: Final = (
    "relay/errors.py",
    "relay/rtvi.py",
    "relay/turns.py",
    "relay/audio/activity.py",
    "relay/audio/jitter.py",
    "relay/audio/playout.py",
    "relay/gemini/protocol.py",
    "relay/gemini/reading.py",
    "relay/standin/mind.py",
    "relay/standin/wire.py",
    "relay/webrtc/gate.py",
    "relay/webrtc/sdp.py",
    "signaling/admission.py",
)
"""Functions of (state, input, `now`), and with them every room whose first lines say “Pure”."""

IMPURE: Final = frozenset(
    {"asyncio", "random", "socket", "threading", "time"}
    | {"aiohttp", "aioice", "aiortc", "av", "picows", "pylibsrtp", "websockets"}
)

TOUCH_PRIVATE_PARTS: Final = tuple(Path("relay/webrtc", name) for name in ("srtp.py", "tame.py", "tap.py", "wire.py"))
PUBLIC_ALL_THE_SAME: Final = frozenset({"os._exit"})  # by its documentation, whatever its name says

PURE_SCRIPTS: Final = ("call.js", "problems.js", "rtvi.js", "transcript.js")
"""Modules of the page that Node.js tests without a browser."""

DOM: Final = re.compile(r"\b(document|window|navigator|localStorage|sessionStorage|HTML\w*Element)\b")
TEXT_AS_MARKUP: Final = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function\(")


def _product() -> list[Path]:
    return sorted(path.relative_to(ROOT) for room in ("relay", "signaling") for path in (ROOT / room).rglob("*.py"))


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), str(path))


def _for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """Every node below that exists at run time: what stands under `if TYPE_CHECKING` does not."""
    for child in ast.iter_child_nodes(node):
        if not _for_types_only(child):
            yield child
            yield from _running(child)


def _imported(tree: ast.Module) -> set[str]:
    """The full names of all modules that are imported, at the top or within a function."""
    names: set[str] = set()
    for node in _running(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or ""))
    return names


def _says_that_it_is_pure(path: Path) -> bool:
    return re.search(r"\bPure[.:;]", ast.get_docstring(_tree(path)) or "") is not None


@pytest.mark.parametrize("room", sorted({*map(Path, PURE), *filter(_says_that_it_is_pure, _product())}), ids=str)
def test_a_pure_room_imports_nothing_that_waits_or_ticks(room: Path) -> None:
    found = {name for name in _imported(_tree(room)) if name.partition(".")[0] in IMPURE}
    assert not found


def test_media_and_conversation_know_no_http_server() -> None:
    towards_signaling = {
        str(path)
        for path in _product()
        if path.parts[0] == "relay" and any(n.partition(".")[0] == "signaling" for n in _imported(_tree(path)))
    }
    assert not towards_signaling


def test_the_stand_in_reads_the_wire_format_with_its_own_eyes() -> None:
    shared = {
        str(path)
        for path in _product()
        if "standin" in path.parts and any(n.startswith("relay.gemini") for n in _imported(_tree(path)))
    }
    assert not shared


def _own_names(tree: ast.Module) -> set[str]:
    """What a module defines or assigns itself, as a variable, attribute, field, function or class."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.attr if isinstance(node, ast.Attribute) else node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.add(node.value)  # __slots__
    return names


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name != "_"


@pytest.fixture(scope="module")
def in_the_house() -> set[str]:
    """Every name that some room defines: what `self` may have from a base class in another file."""
    return {name for path in _product() if path not in TOUCH_PRIVATE_PARTS for name in _own_names(_tree(path))}


@pytest.mark.parametrize("path", [p for p in _product() if p not in TOUCH_PRIVATE_PARTS], ids=str)
def test_private_parts_of_libraries_are_touched_in_four_files_alone(path: Path, in_the_house: set[str]) -> None:
    tree = _tree(path)
    own = _own_names(tree)
    touched: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _is_private(node.attr):
            if node.attr not in (in_the_house if ast.unparse(node.value) == "self" else own):
                touched.add(ast.unparse(node))
        elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith(("relay", "signaling")):
            touched |= {f"{node.module}.{alias.name}" for alias in node.names if _is_private(alias.name)}
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "setattr", "delattr", "hasattr"):
            name = node.args[1]
            if isinstance(name, ast.Constant) and isinstance(name.value, str) and _is_private(name.value):
                touched.add(ast.unparse(node))
    assert not touched - PUBLIC_ALL_THE_SAME


def test_the_websocket_client_is_known_in_three_files_alone() -> None:
    found = {path.name for path in _product() if "picows" in _imported(_tree(path))}
    assert found == {"client.py", "handshake.py", "frames.py"}


def _script(path: Path) -> str:
    """A script without its comments."""
    text = path.read_text(encoding="utf-8")
    return re.sub(r"/\*.*?\*/|(?<![:'\"])//[^\n]*", "", text, flags=re.DOTALL)


@pytest.mark.parametrize("name", PURE_SCRIPTS)
def test_a_pure_script_touches_no_page(name: str) -> None:
    found = DOM.findall(_script(ROOT / "static" / name))
    assert not found


@pytest.mark.parametrize("path", sorted((ROOT / "static").glob("*.*")), ids=lambda path: path.name)
def test_text_never_becomes_markup(path: Path) -> None:
    if path.suffix in (".js", ".html"):
        found = TEXT_AS_MARKUP.findall(path.read_text(encoding="utf-8"))
        assert not found
