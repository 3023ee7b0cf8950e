"""`GET /metrics` for Prometheus, on a port of its own: what `relay.metrics` has counted, in Prometheus' words.

Nothing here is touched while sound passes: everything is read when somebody asks. No label says who called; each takes
its values from a short list in the source.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

import relay
from relay.config import Config
from relay.histogram import Histogram
from relay.metrics import CallFigures, Metrics, Quality, figures_of, middle_and_worst
from relay.webrtc.port.switchboard import Switchboard
from signaling.admission import Admission, Policy
from signaling.app import guarded, site
from signaling.health import Speaker
from signaling.registry import Registry, State


@dataclass(frozen=True, slots=True)
class Figures:
    """Where the figures are. `port` has the calls on the one UDP port, None where each has a port of its own."""

    metrics: Metrics
    registry: Registry
    speaker: Speaker
    port: Switchboard[Any] | None = None


class Scrape:
    """The one route."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures
        self._process = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._process)

    async def metrics(self, request: web.Request) -> web.Response:
        """Everything, in the one format that every scraper reads."""
        # Call by call, for sound goes first. One that ends meanwhile is read once all the same, and not as ended too.
        calls, sums, qualities = self._figures.metrics.calls, self._figures.metrics.past(), list[Quality]()
        for call in calls:
            sums.include(figures_of(call))
            qualities.append(await call.quality())
            await asyncio.sleep(0)
        reading = _Reading(self._figures, sums, qualities, asyncio.get_running_loop().time(), self._process)
        return web.Response(body=generate_latest(reading), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


@dataclass(frozen=True, slots=True)
class _Reading(Collector):
    """One reading of everything at `now`."""

    figures: Figures
    sums: CallFigures
    qualities: Sequence[Quality]
    now: float
    process: CollectorRegistry

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("relay", "The relay.", {"version": relay.__version__})
        yield InfoMetricFamily("relay_media", "How sound reaches us: raw, middle or public.", {
            "tier": self.figures.speaker.tier or "warming-up"})  # fmt: skip
        yield from self._calls()
        yield from self._sound()
        yield from self._paths()
        yield from self._machine()
        yield from self.process.collect()

    def _calls(self) -> Iterator[Metric]:
        metrics, registry = self.figures.metrics, self.figures.registry
        accepting = registry.refusal(self.now) is None
        yield GaugeMetricFamily("relay_accepting", "1 while a new call would be taken in.", float(accepting))
        yield GaugeMetricFamily("relay_calls_live", "Calls now.", len(metrics.calls))
        peers = len(self.figures.port) if self.figures.port is not None else None
        yield GaugeMetricFamily("relay_peer_connections", "Browsers' connections that are not closed.", peers)
        yield GaugeMetricFamily("relay_calls_promised", "Calls that may begin.", registry.count(State.RESERVED))
        yield CounterMetricFamily("relay_calls_opened", "Calls that were begun.", metrics.opened)
        yield _counter("relay_calls_ended", "Calls that are over, by how they ended.", "reason", metrics.ended)
        yield _counter("relay_calls_refused", "Requests for a call that were refused.", "code", metrics.refused)
        yield from self._model()
        yield CounterMetricFamily("relay_call_seconds", "How long all calls lasted.", metrics.call_seconds(self.now))

    def _model(self) -> Iterator[Metric]:
        spent, currency = self.figures.metrics.spent, self.figures.metrics.currency
        tokens = CounterMetricFamily("relay_tokens", "As the model counts them.", labels=["direction", "kind"])
        for direction, kinds in (("in", spent.input), ("out", spent.output), ("out", {"thoughts": spent.thoughts})):
            for kind, count in sorted(kinds.items()):
                tokens.add_metric([direction, kind], count)
        yield tokens
        cost = CounterMetricFamily("relay_cost", "By the prices of --prices, an estimate.", labels=["currency"])
        if currency:
            cost.add_metric([currency], spent.money)
        yield cost
        troubles = CounterMetricFamily("relay_model_troubles", "Answers that did not come, and what was done about it.",
                                       labels=["trouble", "remedy"])  # fmt: skip
        for name, count in sorted(self.sums.troubles.items()):
            troubles.add_metric(name.split(), count)
        yield troubles

    def _sound(self) -> Iterator[Metric]:
        figures = self.sums
        yield _counter("relay_packets_in", "The microphones' packets and what became of them.", "fate",
                       figures.packets_in)  # fmt: skip
        yield _counter("relay_microphones_dead", "Microphones that are on and bring nothing.", "cause", figures.deaths)
        yield _counter("relay_packets_dropped", "Packets not let in.", "cause", figures.dropped)
        yield _counter("relay_datagrams_dropped", "Datagrams on the UDP port that were no call's.", "cause",
                       self.figures.port.dropped if self.figures.port is not None else {})  # fmt: skip
        yield _counter("relay_packets_out", "Packets to the browsers, by the earlier ones they carry along.", "kind",
                       figures.packets_out)  # fmt: skip
        yield _counter("relay_model_changes", "Connections to the model that were left for the next.", "cause",
                       figures.changes)  # fmt: skip
        yield _counter("relay_model_messages_skipped", "Messages of the model that nobody acted on.", "cause",
                       figures.skipped)  # fmt: skip
        yield CounterMetricFamily("relay_packets_unsent", "Of these, could not leave.", figures.unsent)
        yield CounterMetricFamily("relay_underruns", "Times an answer's sound ran out.", figures.underruns)
        yield _histogram("relay_first_packet_seconds", "From the model's first sound to our packet of it.",
                         figures.first_packet)  # fmt: skip
        yield _histogram("relay_answer_seconds", "From the end of the user's speech to our first packet.",
                         figures.answer)  # fmt: skip

    def _paths(self) -> Iterator[Metric]:
        """The median and the worst over the live calls; a series is absent while nothing is known."""
        jitter = GaugeMetricFamily("relay_jitter_seconds", "Of what comes (RFC 3550).", labels=["call"])
        loss = GaugeMetricFamily("relay_loss_ratio", "Packets lost on the way: up since the call began, down by the "
                                 "last report.", labels=["direction", "call"])  # fmt: skip
        round_trip = GaugeMetricFamily("relay_round_trip_seconds", "To the browser and back.", labels=["call"])
        for family, labels, values in (
            (jitter, [], [quality.jitter for quality in self.qualities]),
            (loss, ["up"], [quality.loss_up for quality in self.qualities]),
            (loss, ["down"], [quality.loss_down for quality in self.qualities]),
            (round_trip, [], [quality.round_trip for quality in self.qualities]),
        ):
            for name, value in zip(("median", "worst"), middle_and_worst(values) or (), strict=False):
                family.add_metric([*labels, name], value)
        yield from (jitter, loss, round_trip)

    def _machine(self) -> Iterator[Metric]:
        metrics, lateness = self.figures.metrics, self.figures.speaker.lateness
        if lateness is not None:
            yield _histogram("relay_tick_lateness_seconds", "How late the event loop was.", lateness.histogram)
            yield GaugeMetricFamily("relay_tick_lateness_p99_seconds", "Of the last two seconds.",
                                    lateness.p99(self.now))  # fmt: skip
        spent, lasted = metrics.cpu_seconds(self.now), metrics.call_seconds(self.now)
        yield CounterMetricFamily("relay_cpu_seconds", "CPU time while a call was live.", spent)
        yield GaugeMetricFamily("relay_cpu_per_call_ratio", "Cores per call, the mean since the start.",
                                spent / lasted if lasted else 0.0)  # fmt: skip
        yield GaugeMetricFamily("relay_tasks", "Tasks of the event loop, this reading among them.",
                                len(asyncio.all_tasks()))  # fmt: skip
        yield _histogram("relay_gc_pause_seconds", "How long garbage collections stopped us.", metrics.pauses)


def _counter(name: str, words: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, words, labels=[label])
    for value, count in sorted(counts.items()):
        family.add_metric([value], count)
    return family


def _histogram(name: str, words: str, values: Histogram) -> Metric:
    buckets, count = list[tuple[str, float]](), 0
    for edge, more in zip((*map(str, values.edges), "+Inf"), values.counts, strict=True):
        count += more
        buckets.append((edge, count))
    return HistogramMetricFamily(name, words, buckets=buckets, sum_value=values.sum)


@contextlib.asynccontextmanager
async def scraping(figures: Figures, config: Config, sockets: Sequence[socket.socket]) -> AsyncIterator[None]:
    """Serve `/metrics`, and nothing else, on listening `sockets` while the block runs."""
    admission = Admission(Policy(host=config.metrics_host, public_url=config.public_url))
    app = guarded(admission)
    app.add_routes([web.get("/metrics", Scrape(figures).metrics)])
    async with site(app, admission, sockets):
        yield
