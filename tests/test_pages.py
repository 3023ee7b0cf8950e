"""Static files: what is served, what is not, and the headers that every answer has."""

import asyncio
import os
from pathlib import Path

import pytest

from relay.errors import BrowserFault
from signaling import pages
from signaling.pages import HEADERS, MAX_PATH_CHARS, TYPES, Pages
from tests.house import Answered, refused, visiting


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A small page with everything around it that must stay hidden."""
    root = tmp_path / "static"
    (root / "sub").mkdir(parents=True)
    (root / "index.html").write_text("<!doctype html><title>page</title>")
    (root / "main.js").write_text("export {};")
    (root / "sub" / "deep.css").write_text("body{}")
    (root / ".hidden.js").write_text("hidden")
    (root / "key.pem").write_text("hidden")
    (root / "notes.txt").write_text("hidden")
    (root / "folder.js").mkdir()
    (tmp_path / "outside.js").write_text("hidden")
    (root / "link.js").symlink_to(tmp_path / "outside.js")
    (root / "inner.js").symlink_to(root / "main.js")
    (tmp_path / "static-evil").mkdir()
    (tmp_path / "static-evil" / "x.js").write_text("hidden")
    return root


def has_headers(answered: Answered) -> None:
    for name, value in HEADERS.items():
        assert answered.headers[name] == value, name


async def test_the_page_is_served_with_its_headers_and_may_be_kept(site: Path) -> None:
    async with visiting(page=site) as visit:
        answered = await visit.ask("GET", "/")
        assert answered.status == 200
        assert answered.body == (site / "index.html").read_bytes()
        assert answered.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answered.headers["Cache-Control"] == "no-cache"
        has_headers(answered)


def test_the_policy_allows_our_own_files_and_nothing_inline() -> None:
    assert pages.POLICY == (
        "default-src 'self'; connect-src 'self'; media-src 'self' blob:; frame-ancestors 'none'; "
        "base-uri 'none'; form-action 'none'; object-src 'none'"
    )
    assert HEADERS["Permissions-Policy"] == "microphone=(self), camera=(self), display-capture=(self)"


async def test_files_below_the_root_are_served_by_their_suffix(site: Path) -> None:
    async with visiting(page=site) as visit:
        for path, kind in (("/main.js", "text/javascript"), ("/sub/deep.css", "text/css"), ("/inner.js", "text/java")):
            answered = await visit.ask("GET", path)
            assert answered.status == 200
            assert answered.headers["Content-Type"].startswith(kind)
            has_headers(answered)


async def test_a_browser_that_has_the_file_gets_304_until_it_changes(site: Path) -> None:
    async with visiting(page=site) as visit:
        tag = (await visit.ask("GET", "/main.js")).headers["ETag"]
        for known in (tag, f'"other", {tag}', "*", f"W/{tag}"):
            answered = await visit.ask("GET", "/main.js", headers={"If-None-Match": known})
            assert (answered.status, answered.body) == (304, b"")
            has_headers(answered)
        (site / "main.js").write_text("export { changed };")
        answered = await visit.ask("GET", "/main.js", headers={"If-None-Match": tag})
        assert (answered.status, answered.body) == (200, b"export { changed };")


async def test_head_has_the_headers_and_no_body(site: Path) -> None:
    async with visiting(page=site) as visit:
        answered = await visit.ask("HEAD", "/main.js")
        assert (answered.status, answered.body) == (200, b"")
        assert answered.headers["Content-Length"] == str((site / "main.js").stat().st_size)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_files_take_get_and_head_only(site: Path, method: str) -> None:
    async with visiting(page=site) as visit:
        for path in ("/", "/main.js"):
            answered = await visit.ask(method, path, json={})
            refused(answered, 405, "method-not-allowed")
            assert answered.headers["Allow"] == "GET,HEAD"


HIDDEN = [
    "/../outside.js", "/..%2foutside.js", "/%2e%2e/outside.js", "/%2e%2e%2foutside.js", "/sub/../../outside.js",
    "/sub/%2e%2e/%2e%2e/outside.js", "/..%5coutside.js", "/%5c..%5coutside.js", "/.hidden.js", "/%2ehidden.js",
    "/key.pem", "/notes.txt", "/main.js%00.css", "/%00.js", "/main.js%00", "/main.js/", "/folder.js", "/link.js",
    "/sub", "/sub/", "/no-such.js", "//main.js", "/sub//deep.css", "/main.JS", "/main.js%20", "/index.html/../x.js",
    "/../static-evil/x.js", "/%2e%2e/static-evil/x.js", "/C:%5cwindows%5cx.js", "/main.js::$DATA.js", "/~root/x.js",
    "/%ff%fe.js", "/%c0%ae%c0%ae/outside.js", "/" + "a" * MAX_PATH_CHARS + ".js", "/" + "a/" * 99 + "x.js",
    "/etc/passwd", "//etc/passwd.js", "/%2fetc%2fpasswd.js", "/%0d%0aX-Evil:%201.js", "/static/main.js",
]  # fmt: skip


@pytest.mark.parametrize("path", HIDDEN)
async def test_everything_else_is_not_there(site: Path, path: str) -> None:
    """Sent as written: clients of convenience would tidy the path first."""
    async with visiting(page=site) as visit:
        reader, writer = await asyncio.open_connection("127.0.0.1", visit.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        await writer.wait_closed()
        assert answer.split(b" ", 2)[1] in (b"404", b"400"), answer
        assert b'"code"' in answer
        assert b"hidden" not in answer
        assert b"\r\nX-Evil" not in answer


async def test_a_missing_page_is_an_error_in_json(tmp_path: Path) -> None:
    async with visiting(page=tmp_path / "none") as visit:
        refused(await visit.ask("GET", "/"), 404, "not-found")


async def test_a_file_that_is_too_large_is_not_kept_in_memory(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MAX_FILE_BYTES", 5)
    async with visiting(page=site) as visit:
        refused(await visit.ask("GET", "/main.js"), 404, "not-found")


def test_a_file_is_read_once_while_it_stays_the_same(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    original = Path.read_bytes

    def counted(path: Path) -> bytes:
        read.append(path)
        return original(path)

    monkeypatch.setattr(Path, "read_bytes", counted)
    served = Pages(site)
    for _ in range(3):
        served.find("main.js")
    assert len(read) == 1


def test_an_unreadable_file_is_not_found(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path) -> bytes:
        raise PermissionError(13, "no", str(path))

    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(BrowserFault):
        Pages(site).find("main.js")


def test_the_page_that_ships_is_there_and_every_file_of_it_can_be_served() -> None:
    root = pages.root()
    served = Pages(root)
    names = [path.relative_to(root).as_posix() for path in root.rglob("*.*") if path.suffix[1:] in TYPES]
    assert "index.html" in names
    for name in names:
        body, _, _ = served.find(name)
        assert body == (root / name).read_bytes()


def test_in_an_installed_package_its_own_copy_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "signaling" / "static").mkdir(parents=True)
    (tmp_path / "static").mkdir()
    monkeypatch.setattr(pages, "__file__", os.fspath(tmp_path / "signaling" / "pages.py"))
    assert pages.root() == tmp_path / "signaling" / "static"
    (tmp_path / "signaling" / "static").rmdir()
    assert pages.root() == tmp_path / "static"
