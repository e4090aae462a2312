"""The figures of a running service, for Prometheus to collect."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from ..model.watch import Watch

MOST_ANSWERS = 200  # classes counted one by one; a series each is too much for more
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


class Gauges:
    """Counters that the parts of the service move; `page` is what `/metrics` shows."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own = self.registry
        self.requests = Counter(
            "plaintune_requests_total", "Requests answered.", ["route", "status"], registry=own
        )
        self.seconds = Histogram(
            "plaintune_request_seconds", "Time to answer.", ["route"], buckets=SECONDS, registry=own
        )
        self.texts = Counter("plaintune_texts_total", "Texts answered.", ["model"], registry=own)
        self.answers = Counter(
            "plaintune_answers_total", "Times an answer was given.", ["model", "answer"], registry=own
        )
        self.confidence = Histogram(
            "plaintune_confidence", "How sure the answers were.", ["model"], buckets=SHARES, registry=own
        )
        self.unsure = Counter("plaintune_unsure_total", "Answers below --unsure.", ["model"], registry=own)
        self.batch_texts = Histogram(
            "plaintune_batch_texts", "Texts answered at once.", ["model"], buckets=SIZES, registry=own
        )
        self.waiting = Gauge("plaintune_waiting_texts", "Texts that wait.", ["model"], registry=own)
        self.reloads = Counter(
            "plaintune_reloads_total", "New models taken, and refused.", ["model", "result"], registry=own
        )

    def watch(self, watches: Callable[[], Iterable[tuple[str, Watch]]]) -> None:
        """Show how far each model's latest texts are from the usual."""
        self.registry.register(_Drift(watches))

    def page(self) -> bytes:
        """All figures as Prometheus reads them."""
        return generate_latest(self.registry)


class _Drift(Collector):
    """Worked out when it is asked for, not at every text."""

    def __init__(self, watches: Callable[[], Iterable[tuple[str, Watch]]]) -> None:
        self.watches = watches

    def describe(self) -> list[GaugeMetricFamily]:
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        texts = GaugeMetricFamily("plaintune_recent_texts", "Texts that count as now.", labels=["model"])
        drift = GaugeMetricFamily(
            "plaintune_drift", "Share of recent texts unlike those of training.", labels=["model", "figure"]
        )
        mean = GaugeMetricFamily(
            "plaintune_recent_mean", "Mean over recent texts.", labels=["model", "figure"]
        )
        usual = GaugeMetricFamily("plaintune_usual_mean", "Mean at training.", labels=["model", "figure"])
        for name, watch in self.watches():
            texts.add_metric([name], watch.texts)
            for figure in watch.compared():
                for family, value in ((drift, figure.drift), (mean, figure.now), (usual, figure.usual)):
                    if isinstance(value, float):
                        family.add_metric([name, figure.name], value)
        yield from (texts, drift, mean, usual)
