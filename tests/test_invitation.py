"""The way in for a phone: codes that cameras read, and who is given one."""

import re
from pathlib import Path

import pytest

from signaling import lan
from signaling.invitation import QUIET, in_terminal, in_words, modules, path
from tests.scanner import of_modules, of_path, of_terminal, read
from tests.test_https import BEARER, HOME, OFFICE, TOKEN, visiting

LINK = "https://192.168.100.100:8443/#token=0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize("text", [LINK, "https://a.example", "https://[2001:db8::5]:8443/#token=" + "t" * 256])
def test_a_camera_reads_it_from_the_terminal_and_from_the_page(text: str) -> None:
    rows = modules(text)
    assert read(of_modules(rows)) == text
    assert read(of_path(path(rows), len(rows))) == text
    assert read(of_terminal(in_terminal(rows, colours=False))) == text


def test_there_is_quiet_around_it() -> None:
    rows = modules(LINK)
    assert len({len(row) for row in rows}) == 1
    assert not any(dark for row in (*rows[:QUIET], *rows[-QUIET:]) for dark in row)
    assert not any(dark for row in rows for dark in (*row[:QUIET], *row[-QUIET:]))


def test_a_usual_address_fits_into_a_small_terminal() -> None:
    lines = in_terminal(modules(LINK), colours=False).splitlines()
    assert len(lines) <= 24
    assert len(lines[0]) <= 80


def test_with_colours_it_is_the_same_on_any_terminal() -> None:
    plain = in_terminal(modules(LINK), colours=False)
    coloured = in_terminal(modules(LINK), colours=True)
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain
    assert all(line.startswith("\x1b[97;40m") and line.endswith("\x1b[0m") for line in coloured.splitlines())


async def test_the_terminal_names_fingerprint_and_other_networks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lan, "addresses", lambda host: (HOME, OFFICE))
    async with visiting(tmp_path) as visit:
        said = in_words(visit.https, LINK, colours=False)
        assert visit.https.identity.fingerprint in said
        assert visit.https.others[0] in said
        assert "#token" not in said


async def test_without_a_network_the_terminal_says_so_and_shows_no_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lan, "addresses", lambda host: ())
    async with visiting(tmp_path) as visit:
        said = in_words(visit.https, LINK, colours=False)
        assert "in no network" in said
        assert "█" not in said
        assert visit.https.identity.fingerprint in said


# --- for the page ---


async def test_who_has_the_token_is_given_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lan, "addresses", lambda host: (HOME,))
    async with visiting(tmp_path) as visit:
        for headers in ({}, {"Authorization": "Bearer wrong-token-wrong-token"}):
            refused = await visit.ask("GET", f"{visit.secure}/invitation", headers=headers)
            assert refused.status in (401, 403)
            assert TOKEN.encode() not in refused.body
        answered = await visit.ask("GET", f"{visit.secure}/invitation", headers=BEARER)
        assert answered.headers["Cache-Control"] == "no-store"
        told = answered.json
        assert told["url"] == f"{visit.https.base}/#token={TOKEN}"
        assert (told["local"], told["fingerprint"]) == (True, visit.https.identity.fingerprint)
        assert read(of_path(told["code"]["path"], told["code"]["size"])) == told["url"]


async def test_who_asks_by_a_name_that_works_is_told_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lan, "addresses", lambda host: (HOME, OFFICE))
    async with visiting(tmp_path) as visit:
        port = visit.secure.rpartition(":")[2]
        headers = {**BEARER, "Host": f"{OFFICE}:{port}"}
        told = (await visit.ask("GET", f"{visit.secure}/invitation", headers=headers)).json
        assert told["url"] == f"https://{OFFICE}:{port}/#token={TOKEN}"


async def test_behind_a_proxy_it_is_the_public_address(tmp_path: Path) -> None:
    async with visiting(tmp_path, "--public-url", "https://talk.example.org") as visit:
        told = (await visit.ask("GET", f"{visit.secure}/invitation", headers=BEARER)).json
        assert told["url"] == f"https://talk.example.org/#token={TOKEN}"
        assert (told["local"], told["fingerprint"]) == (False, "")


async def test_where_no_phone_finds_us_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lan, "addresses", lambda host: ())
    async with visiting(tmp_path) as visit:
        assert (await visit.ask("GET", f"{visit.secure}/invitation", headers=BEARER)).json["code"] == "not-found"
        assert (await visit.ask("GET", f"{visit.secure}/healthz")).json["secureUrl"] is None
