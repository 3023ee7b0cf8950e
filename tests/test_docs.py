"""The documents are true: every promise names a test that exists, every flag stands in its table."""

import ast
import functools
import re
from pathlib import Path
from typing import Final

import pytest

from relay import flags

ROOT: Final = Path(__file__).parent.parent
README: Final = (ROOT / "README.md").read_text(encoding="utf-8")
FLAGS: Final = (ROOT / "docs" / "flags.md").read_text(encoding="utf-8")
PROMISES: Final = (ROOT / "docs" / "behaviour.md").read_text(encoding="utf-8")
CLIENTS: Final = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")


@functools.cache
def _functions(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


def _named_tests(text: str) -> list[tuple[str, str]]:
    """``(file, test)`` for each `tests/…py::test_…` and each `tests/page/…js: …` in a text."""
    return re.findall(r"`(tests/[\w/.-]+?\.(?:py|js))(?:::|: )([^`]+)`", text)


def _missing(named: list[tuple[str, str]]) -> list[str]:
    missing = []
    for file, name in named:
        path = ROOT / file
        if not path.is_file():
            missing.append(f"{file}: no such file")
        elif path.suffix == ".py" and name not in _functions(path):
            missing.append(f"{file}::{name}")
        elif path.suffix == ".js" and name not in path.read_text(encoding="utf-8"):
            missing.append(f"{file}: {name}")
    return missing


def test_every_promise_names_a_test_that_exists() -> None:
    named = _named_tests(PROMISES)
    assert len(named) > 20
    assert not _missing(named)


def _rows(text: str) -> list[list[str]]:
    """The cells of each row of the tables in a text, less their heads."""
    tables = re.findall(r"^\|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text, flags=re.MULTILINE)
    return [[cell.strip() for cell in row.strip("|").split("|")] for table in tables for row in table.splitlines()]


def test_every_feature_of_every_client_names_its_test_or_its_reason() -> None:
    head, *sections = re.split(r"^## (.+)$", CLIENTS, flags=re.MULTILINE)
    clients = [cell.strip() for cell in head[head.index("\n| |") :].splitlines()[1].strip("|").split("|")[1:]]
    glance = {feature: dict(zip(clients, verdicts, strict=True)) for feature, *verdicts in _rows(head)}
    assert [name.lower() for name in sections[::2]] == [client.lower() for client in clients]
    for client, section in zip(clients, sections[1::2], strict=True):
        told = {feature: (verdict, words) for feature, verdict, words in _rows(section)}
        assert {feature: verdict for feature, (verdict, _) in told.items()} == {
            feature: verdicts[client] for feature, verdicts in glance.items()
        }
        for feature, (verdict, words) in told.items():
            assert verdict in ("yes", "form", "no"), (client, feature)
            assert words if verdict == "no" else _named_tests(words), (client, feature)
    assert not _missing(_named_tests(CLIENTS))


def test_every_row_of_the_sheet_names_a_test() -> None:
    rows = [line for line in PROMISES.splitlines() if line.startswith("| ") and not line.startswith("| promise")]
    assert rows
    assert not [row for row in rows if not re.search(r"`tests/", row)]


def test_every_flag_stands_in_the_table_with_its_variable_and_none_that_is_gone() -> None:
    told = re.findall(r"^\| `--([a-z0-9-]+)` \| `(\w+)` \|", FLAGS, flags=re.MULTILINE)
    assert sorted(told) == sorted((flag.name, flag.variable) for flag in flags.FLAGS)


@pytest.mark.parametrize("document", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda p: p.name)
def test_no_document_names_a_flag_that_is_gone(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    commands = re.findall(r"(?:make run ARGS=\"|gemini-relay |^\| `)(--[^\n|`]+)", text, flags=re.MULTILINE)
    named = {name for command in commands for name in re.findall(r"--([a-z][a-z0-9-]+)", command)}
    assert named <= {flag.name for flag in flags.FLAGS}


def test_the_readme_shows_the_first_flags_with_the_defaults_of_the_table() -> None:
    whole = {cells[0]: cells[-1] for cells in _rows(FLAGS)}
    shown = {cells[0]: cells[-1] for cells in _rows(README) if cells[0].startswith("`--")}
    assert shown
    assert shown.items() <= whole.items()


def test_every_local_link_leads_somewhere() -> None:
    broken = []
    for document in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", document.read_text(encoding="utf-8")):
            if not (document.parent / target).exists():
                broken.append(f"{document.name}: {target}")
    assert not broken


def test_every_room_stands_on_the_map() -> None:
    drawn = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = {
        str(path.relative_to(ROOT / house))
        for house in ("relay", "signaling", "static")
        for path in (ROOT / house).rglob("*.*")
        if path.suffix in (".py", ".js", ".css", ".html") and path.name != "__init__.py"
    }
    assert not {room for room in rooms if f"`{room}`" not in drawn}
