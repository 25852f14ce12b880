"""What monitoring scrapes of the REST interface."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """Counts requests by path (as it is declared, never as it was sent), method and status."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._seconds = Histogram(
            "causeway_api_request_seconds",
            "How long requests took",
            ("method", "path", "status"),
            registry=self.registry,
            buckets=_BUCKETS,
        )

    def seen(self, method: str, path: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self._seconds.labels(method, path, str(status)).observe(seconds)

    def count_deliveries(self, counts: Mapping[str, int]) -> None:
        """Show what has become of webhooks' messages, too."""
        self.registry.register(_Deliveries(counts))


class _Deliveries(Collector):
    def __init__(self, counts: Mapping[str, int]) -> None:
        self._counts = counts

    def collect(self) -> Iterable[Metric]:
        """See prometheus_client's `Collector`."""
        family = CounterMetricFamily(
            "causeway_api_webhook_attempts", "Attempts to deliver, by outcome", labels=("outcome",)
        )
        for outcome, count in self._counts.items():
            family.add_metric((outcome,), count)
        yield family
