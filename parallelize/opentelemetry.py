"""Spans, and the numbers of pools, for OpenTelemetry.

    import parallelize.opentelemetry

    parallelize.opentelemetry.instrument()

From then on each call has a span, from its submission to its end, whose parent is the
span in which it was submitted; its event ``started`` says when a worker began it. In
the call its span is the current one, also in worker processes, so that what the call
does there belongs to the same trace. Workers record spans of their own only if they
have a tracer provider: set it in an ``initializer``. For Dask and Ray a call has a
span, but its trace does not go on in their workers, and neither does that of a
generator in a process. The numbers of `parallelize.stats` are observed for each kind of
pool. This needs opentelemetry-api: ``pip install 'parallelize[opentelemetry]'``.
"""

from __future__ import annotations

import atexit
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from parallelize.errors import MissingExtraError
from parallelize.insight import switch
from parallelize.insight.delivery import Delivery
from parallelize.registry.shared_stats import COUNTERS, GAUGES, stats_by_kind
from parallelize.runtime.clock import monotonic_ns
from parallelize.tracing.recording import Watcher

try:
    from opentelemetry import context, metrics, propagate, trace
    from opentelemetry.trace import Status, StatusCode
except ImportError as _error:
    what = "parallelize.opentelemetry"
    raise MissingExtraError(what, "opentelemetry") from _error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.context import Context
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
    from opentelemetry.trace import Span, Tracer, TracerProvider

    from parallelize.tracing.recording import EventKind, TaskRecord

__all__ = ("instrument", "uninstrument")


def instrument(
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
) -> None:
    """Make a span of each call from now on, and observe the numbers of the pools.

    Calls then cost as much as in a `trace`. Nothing happens if this was called before.

    Args:
        tracer_provider: Makes the spans; None: the global one.
        meter_provider: Observes the numbers; None: the global one.

    Example:
        >>> import parallelize.opentelemetry
        >>> parallelize.opentelemetry.instrument()
        >>> parallelize.opentelemetry.uninstrument()
    """
    global _spans
    if _spans is not None:
        return
    _spans = _Spans(trace.get_tracer("parallelize", tracer_provider=tracer_provider))
    switch.on(_spans)
    atexit.register(uninstrument)
    provider = meter_provider or metrics.get_meter_provider()
    if provider not in _observed:  # instruments stay for ever
        _observed.append(provider)
        _observe(provider)


def uninstrument() -> None:
    """Make no more spans; return when those of calls that have ended are ended."""
    global _spans
    spans, _spans = _spans, None
    if spans is not None:
        switch.off(spans)
        spans.delivery.finish()
        atexit.unregister(uninstrument)


_spans: _Spans | None = None
_observed: list[MeterProvider] = []


class _End(NamedTuple):
    """What a span still gets, by the system's clock."""

    span: Span
    started: int
    ended: int
    worker: str
    attempts: int
    calls: int
    has_failed: bool


class _Spans(Watcher):
    """Starts a span where a call is submitted, and ends it in a thread of its own."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._open: dict[int, Span] = {}  # by number; single operations need no lock
        self.delivery: Delivery[_End] = Delivery(_end)
        self.delivery.start()

    def note(self, event: EventKind, record: TaskRecord) -> None:
        if event == "submitted":
            self._start(record)
        elif event == "ended" and (span := self._open.pop(record.number, None)):
            self.delivery.put(_end_of(span, record))

    def _start(self, record: TaskRecord) -> None:
        # Rows that are split off others have the parent of these.
        known = record.origin
        parent: Any = context.get_current() if known is None else known
        executor = {"parallelize.executor": record.kind}
        span = self._tracer.start_span(record.name, parent, attributes=executor)
        record.origin = parent
        record.within = _Within(trace.set_span_in_context(span, parent))
        self._open[record.number] = span


def _end_of(span: Span, record: TaskRecord) -> _End:
    since = time.time_ns() - monotonic_ns()  # the moment 0 of the monotonic clock
    return _End(
        span,
        record.started and record.started + since,
        record.returned + since,
        "" if record.lane is None else record.lane.label,
        record.attempt + 1,
        record.count,
        record.outcome == "failed",
    )


def _end(end: _End) -> None:
    span = end.span
    if end.started:
        span.add_event("started", timestamp=end.started)
    span.set_attributes(
        {
            "parallelize.worker": end.worker,
            "parallelize.attempts": end.attempts,
            "parallelize.calls": end.calls,
        }
    )
    if end.has_failed:
        span.set_status(Status(StatusCode.ERROR))
    span.end(end.ended)


class _Within:
    """The context in which a call runs; it travels as what a propagator makes of it."""

    def __init__(self, inner: Context) -> None:
        self._context = inner

    def wrap(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        return partial(self._run, fn)

    def _run(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        token = context.attach(self._context)
        try:
            return fn(*args, **kwargs)
        finally:
            context.detach(token)

    def enter(self) -> None:
        context.attach(self._context)  # for the task, whose contextvars are its own

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[dict[str, str]]]:
        carrier: dict[str, str] = {}
        propagate.inject(carrier, self._context)
        return _arrived, (carrier,)


def _arrived(carrier: dict[str, str]) -> _Within:
    """Unpickle a context in a worker, whose own calls have spans from then on."""
    instrument()
    return _Within(propagate.extract(carrier))


# ------------------------------------------------------------------- the numbers


def _observe(provider: MeterProvider) -> None:
    meter = provider.get_meter("parallelize")
    for field, (name, text) in GAUGES.items():
        read = partial(_observations, field)
        meter.create_observable_gauge(f"parallelize.{name}", [read], description=text)
    for field, (name, text) in COUNTERS.items():
        read = partial(_observations, field)
        meter.create_observable_counter(f"parallelize.{name}", [read], description=text)


def _observations(field: str, _: CallbackOptions) -> Iterable[Observation]:
    pools = {} if _spans is None else stats_by_kind()
    for kind, stats in pools.items():
        yield metrics.Observation(getattr(stats, field), {"pool": kind})
