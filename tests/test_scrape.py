"""`/metrics` as Prometheus reads it: every figure, no caller, and nobody but who may ask."""

import asyncio
import itertools
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from relay.config import load
from relay.errors import FAULTS
from relay.lateness import Lateness
from relay.metrics import CAUSES, CHANGES, DEATHS, FATES, KINDS, SKIPPED, CallFigures, Metrics, Quality
from signaling.scrape import Figures, scraping
from signaling.sockets import listen_for_metrics
from tests.caller import Caller
from tests.house import FakeSpeaker, make_registry, refused, visiting
from tests.running import running
from tests.sound import read_wav

FIGURES = Path(__file__).parent.parent / "docs" / "metrics.md"


@dataclass(eq=False)
class Counted:
    reason: str = "hung-up"
    now: Quality = field(default_factory=Quality)

    def figures(self) -> CallFigures:
        figures = CallFigures()
        figures.packets_in["in_order"] += 10
        figures.dropped["rate"] += 1
        figures.answer.add(0.7)
        return figures

    async def quality(self) -> Quality:
        return self.now


@dataclass
class Site:
    """A metrics port with nobody behind it but the test."""

    url: str
    http: aiohttp.ClientSession
    metrics: Metrics
    lateness: Lateness

    async def ask(self, method: str = "GET", path: str = "/metrics", **headers: str) -> tuple[int, str, str]:
        async with self.http.request(method, self.url + path, headers=headers) as answer:
            return answer.status, answer.headers["Content-Type"], await answer.text()

    async def read(self) -> dict[str, float]:
        status, _, text = await self.ask()
        assert status == 200
        return values(text)


def values(text: str) -> dict[str, float]:
    """Each sample by its name and labels."""
    return {
        sample.name + "".join(f" {name}={value}" for name, value in sorted(sample.labels.items())): sample.value
        for family in parse(text)
        for sample in family.samples
    }


@asynccontextmanager
async def metrics_site(*flags: str) -> AsyncIterator[Site]:
    config = load(["--metrics-port", "0", *flags], {})
    metrics, lateness = Metrics(lambda: 0.0), Lateness()
    sockets = listen_for_metrics(config)
    figures = Figures(metrics, make_registry(), FakeSpeaker(lateness=lateness))
    async with scraping(figures, config, sockets), aiohttp.ClientSession() as http:
        yield Site(f"http://127.0.0.1:{sockets[0].getsockname()[1]}", http, metrics, lateness)


async def test_every_figure_has_a_name_and_starts_at_nothing() -> None:
    async with metrics_site() as site:
        told = await site.read()
    for name, label, known in (
        ("relay_packets_in_total", "fate", FATES),
        ("relay_packets_dropped_total", "cause", CAUSES),
        ("relay_packets_out_total", "kind", KINDS),
        ("relay_model_changes_total", "cause", CHANGES),
        ("relay_model_messages_skipped_total", "cause", SKIPPED),
        ("relay_microphones_dead_total", "cause", DEATHS),
    ):
        assert {key: told[f"{name} {label}={key}"] for key in known} == dict.fromkeys(known, 0.0)
    for name in (
        "relay_accepting", "relay_calls_live", "relay_calls_promised", "relay_calls_opened_total",
        "relay_call_seconds_total", "relay_underruns_total", "relay_cpu_seconds_total", "relay_cpu_per_call_ratio",
        "relay_tick_lateness_p99_seconds", "relay_tick_lateness_seconds_count", "relay_first_packet_seconds_count",
        "relay_answer_seconds_count", "relay_gc_pause_seconds_count", "relay_media_info tier=raw", "relay_tasks",
        "process_cpu_seconds_total", "python_gc_collections_total generation=2",
    ):  # fmt: skip
        assert name in told, name


async def test_calls_are_summed_and_those_that_ended_stay() -> None:
    async with metrics_site() as site:
        one, other = Counted(), Counted(reason="peer-lost")
        site.metrics.enter(one, 0.0)
        site.metrics.enter(other, 0.0)
        site.metrics.leave(other, 1.0)
        site.metrics.refuse("busy")
        told = await site.read()
    assert (told["relay_calls_live"], told["relay_calls_ended_total reason=peer-lost"]) == (1, 1)
    assert told["relay_packets_in_total fate=in_order"] == 20
    assert told["relay_packets_dropped_total cause=rate"] == 2
    assert told["relay_calls_refused_total code=busy"] == 1
    assert [told[f"relay_answer_seconds_bucket le={edge}"] for edge in ("0.6", "0.8", "+Inf")] == [0, 2, 2]
    assert told["relay_answer_seconds_sum"] == pytest.approx(1.4)


async def test_a_call_that_ends_while_it_is_read_is_counted_once() -> None:
    async with metrics_site() as site:

        class Leaving(Counted):
            async def quality(self) -> Quality:
                site.metrics.leave(self, 1.0)
                return Quality()

        site.metrics.enter(Leaving(), 0.0)
        site.metrics.enter(Counted(), 0.0)
        readings = [await site.read() for _ in range(2)]
    assert [told["relay_packets_in_total fate=in_order"] for told in readings] == [20, 20]


async def test_paths_are_told_by_their_median_and_their_worst() -> None:
    async with metrics_site() as site:
        for seconds in (0.010, 0.020, 0.300):
            call = Counted(now=Quality(jitter=seconds / 10, loss_down=seconds, round_trip=seconds))
            site.metrics.enter(call, 0.0)
        told = await site.read()
    assert told["relay_round_trip_seconds call=median"] == 0.020
    assert told["relay_round_trip_seconds call=worst"] == 0.300
    assert told["relay_jitter_seconds call=worst"] == pytest.approx(0.030)
    assert told["relay_loss_ratio call=median direction=down"] == 0.020
    assert "relay_loss_ratio call=median direction=up" not in told


async def test_lateness_is_told() -> None:
    async with metrics_site() as site:
        now = asyncio.get_running_loop().time()
        site.lateness.tick(0.003, now)
        site.lateness.tick(0.030, now)
        told = await site.read()
    assert told["relay_tick_lateness_seconds_bucket le=0.005"] == 1
    assert told["relay_tick_lateness_seconds_count"] == 2
    assert told["relay_tick_lateness_p99_seconds"] == 0.030


@pytest.mark.parametrize("accept", ["", "*/*", "application/openmetrics-text; version=junk; escaping=?", "\xff,,;;="])
async def test_whatever_is_asked_for_the_answer_is_the_text_that_every_scraper_reads(accept: str) -> None:
    async with metrics_site() as site:
        site.metrics.enter(Counted(), 0.0)
        status, kind, text = await site.ask(Accept=accept)
    assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert list(parse(text))


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "not-found"),
        ("GET", "/metrics/", 404, "not-found"),
        ("GET", "/healthz", 404, "not-found"),
        ("POST", "/start", 404, "not-found"),
        ("POST", "/metrics", 405, "method-not-allowed"),
        ("DELETE", "/metrics", 405, "method-not-allowed"),
    ],
)
async def test_nothing_else_is_there(method: str, path: str, status: int, code: str) -> None:
    async with metrics_site() as site:
        told = await site.ask(method, path)
        assert (told[0], told[1]) == (status, "application/json; charset=utf-8")
        assert f'"{code}"' in told[2]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "192.0.2.1", "", "localhost.evil.example"])
async def test_a_rebound_name_reads_no_figures(host: str) -> None:
    async with metrics_site() as site:
        status, _, text = await site.ask(Host=host)
        assert (status, '"host-refused"' in text) == (403, True)


async def test_a_foreign_page_reads_no_figures() -> None:
    async with metrics_site() as site:
        status, _, text = await site.ask(Origin="https://evil.example")
        assert (status, '"origin-refused"' in text) == (403, True)


async def test_refusals_are_counted_where_they_are_told() -> None:
    counted: list[str] = []
    async with visiting("--allow-origin", "https://app.example", refused=counted.append) as visit:
        refused(await visit.ask("POST", "/start", data=b"{"), 415, "bad-content-type")
        refused(await visit.ask("POST", "/api/offer", json={}), 400, "bad-request")
        cross = {"Origin": "https://app.example"}
        refused(await visit.ask("POST", "/api/offer", json={}, headers=cross), 400, "bad-request")
        refused(await visit.ask("POST", "/no-such"), 404, "not-found")
        refused(await visit.ask("GET", "/no-such"), 404, "not-found")
    assert counted == ["bad-content-type", "bad-request", "bad-request"]


async def test_during_a_call_every_sum_grows_and_its_end_takes_nothing_away() -> None:
    async with running("--metrics-port", "0") as relay, aiohttp.ClientSession() as http:

        async def read() -> dict[str, float]:
            async with http.get(relay.metrics) as answer:
                return values(await answer.text())

        def sums(told: dict[str, float]) -> dict[str, float]:
            cut = re.compile(r"relay_\w+_(total|count|bucket)( |$)")
            return {name: value for name, value in told.items() if cut.match(name)}

        readings = [await read()]
        async with Caller(relay.base) as caller:
            await caller.dial()
            await caller.message("bot-ready")
            readings.append(await read())
            caller.say(read_wav("tests/sounds/weather.wav"))
            await caller.message("bot-stopped-speaking", timeout=20)
            readings.append(await read())
            assert readings[-1]["relay_calls_live"] == 1
            assert readings[-1]["relay_jitter_seconds call=worst"] < 0.1
            session = caller.session_id
        async with asyncio.timeout(5):
            while relay.calls:
                await asyncio.sleep(0.02)
        readings.append(await read())
    for before, after in itertools.pairwise(readings):
        assert not {name for name, value in sums(before).items() if sums(after)[name] < value}
    first, last = readings[0], readings[-1]
    assert first["relay_packets_in_total fate=in_order"] == 0
    assert last["relay_packets_in_total fate=in_order"] > 50
    assert last["relay_packets_out_total kind=plain"] > 10
    assert last["relay_first_packet_seconds_count"] >= 1
    assert last["relay_tick_lateness_seconds_count"] > 10
    assert last["relay_cpu_per_call_ratio"] > 0
    assert last["relay_tokens_total direction=in kind=text"] > 0
    assert last["relay_tokens_total direction=out kind=audio"] > 0
    assert (last["relay_calls_live"], last["relay_calls_ended_total reason=hung-up"]) == (0, 1)
    assert not [name for name in last if session in name or "127.0.0.1" in name]


async def test_every_family_stands_in_the_list_of_figures() -> None:
    listed = set(re.findall(r"`(relay_\w+)`", FIGURES.read_text(encoding="utf-8").partition("Some questions")[0]))
    async with metrics_site() as site:
        site.metrics.enter(Counted(now=Quality(0.1, 0.1, 0.1, 0.1)), 0.0)
        site.metrics.refuse("busy")
        _, _, text = await site.ask()
    told = set(re.findall(r"^# TYPE (relay_\w+)", text, flags=re.MULTILINE))
    assert listed == told


def test_every_fate_cause_and_kind_is_explained() -> None:
    explained = FIGURES.read_text(encoding="utf-8")
    assert not [name for name in (*FATES, *CAUSES, *KINDS) if f"`{name}`" not in explained]


async def test_no_label_can_grow_without_bound() -> None:
    async with metrics_site() as site:
        for code in FAULTS:
            site.metrics.refuse(code)
        told = await site.read()
    labels = {part.partition("=")[0] for name in told for part in name.split()[1:]}
    assert labels <= {"fate", "cause", "kind", "reason", "code", "call", "direction", "le",
                      "currency", "trouble", "remedy", "tier", "version",
                      "generation", "implementation", "major", "minor", "patchlevel"}  # fmt: skip
