"""The numbers of pools for Prometheus, read when they are asked for.

    import parallelize.prometheus
    from prometheus_client import start_http_server

    parallelize.prometheus.register()
    start_http_server(9100)

For each shared pool there are the gauges ``parallelize_workers``,
``parallelize_workers_busy``, ``parallelize_calls_queued`` and
``parallelize_calls_running``, and the counters ``parallelize_calls_done_total``,
``..._calls_failed_total``, ``..._calls_retried_total``, ``..._workers_killed_total``
and ``..._workers_died_total``, with the label ``pool``: the kind of the pool. What they
mean is said by `parallelize.Stats`. They begin again at 0 with fresh pools. This needs
prometheus-client: ``pip install 'parallelize[prometheus]'``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from parallelize.errors import MissingExtraError
from parallelize.executors.base import Executor
from parallelize.registry.shared_stats import COUNTERS, GAUGES, stats_by_kind

try:
    from prometheus_client import REGISTRY
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
    from prometheus_client.registry import Collector
except ImportError as _error:
    what = "parallelize.prometheus"
    raise MissingExtraError(what, "prometheus") from _error

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client.metrics_core import Metric
    from prometheus_client.registry import CollectorRegistry

__all__ = ("StatsCollector", "register")


class StatsCollector(Collector):
    """Yields the numbers of all shared pools, and of some executors besides.

    Args:
        executors: Executors that you have made, by the values of their label ``pool``.

    Raises:
        TypeError: One of the executors is none of parallelize.
    """

    def __init__(self, executors: Mapping[str, Executor] | None = None) -> None:
        self._executors = dict(executors or {})
        for name, executor in self._executors.items():
            _check(name, executor)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics, as they are now."""
        own = {name: each.stats() for name, each in self._executors.items()}
        pools = stats_by_kind() | own
        for field, (name, text) in GAUGES.items():
            gauge = GaugeMetricFamily(f"parallelize_{name}", text, labels=["pool"])
            for pool, stats in pools.items():
                gauge.add_metric([pool], getattr(stats, field))
            yield gauge
        for field, (name, text) in COUNTERS.items():
            counter = CounterMetricFamily(f"parallelize_{name}", text, labels=["pool"])
            for pool, stats in pools.items():
                counter.add_metric([pool], getattr(stats, field))
            yield counter

    def describe(self) -> Iterator[Metric]:
        """Yield the same, so that a registry refuses these numbers a second time."""
        return self.collect()


def _check(name: str, executor: object) -> None:
    if not isinstance(executor, Executor):
        msg = f"executors must be executors of parallelize, not {name!r}: {executor!r}"
        raise TypeError(msg)


def register(
    executors: Mapping[str, Executor] | None = None,
    registry: CollectorRegistry = REGISTRY,
) -> StatsCollector:
    """Add the numbers to what a registry exposes.

    Args:
        executors: Executors that you have made, by the values of their label ``pool``.
        registry: The registry; by default the one that prometheus-client exposes.

    Returns:
        The collector; ``registry.unregister`` takes it.

    Raises:
        TypeError: One of the executors is none of parallelize.
        ValueError: The registry has these numbers already.

    Example:
        >>> import parallelize.prometheus
        >>> from prometheus_client import CollectorRegistry, generate_latest
        >>> registry = CollectorRegistry()
        >>> collector = parallelize.prometheus.register(registry=registry)
        >>> b"parallelize_calls_queued" in generate_latest(registry)
        True
    """
    collector = StatsCollector(executors)
    registry.register(collector)
    return collector
