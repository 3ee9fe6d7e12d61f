"""Spans of OpenTelemetry, and numbers for it and for Prometheus."""

import os
import urllib.request

import pytest

import parallelize
from parallelize import (
    ProcessPoolExecutor,
    SerialExecutor,
    ThreadPoolExecutor,
    parallelized,
    threaded,
    using,
)

try:
    from opentelemetry import trace
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import (
        InMemorySpanExporter,
    )
    from prometheus_client import CollectorRegistry, start_http_server

    import parallelize.opentelemetry as telemetry
    import parallelize.prometheus
except ImportError as missing:
    pytest.skip(str(missing), allow_module_level=True)

KINDS = {
    "threads": lambda: ThreadPoolExecutor(1),
    "processes": lambda: ProcessPoolExecutor(1),
    "serial": SerialExecutor,
}

ours = InMemorySpanExporter()
of_worker = InMemorySpanExporter()


def provider_to(exporter):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


@pytest.fixture
def spans():
    """Return what ends the recording, and returns all spans of this process by name."""

    def finish():
        telemetry.uninstrument()
        return {
            span.name.rpartition(".")[2]: span for span in ours.get_finished_spans()
        }

    telemetry.instrument(provider_to(ours))
    yield finish
    telemetry.uninstrument()
    ours.clear()


def set_provider():
    trace.set_tracer_provider(provider_to(of_worker))


@threaded
def inner():
    with trace.get_tracer("user").start_as_current_span("within"):
        return trace.get_current_span().get_span_context().trace_id


def outer():
    trace_id = inner().result()
    telemetry.uninstrument()  # so that all spans of this worker are ended
    parallelize.shutdown()
    return os.getpid(), trace_id, [s.to_json() for s in of_worker.get_finished_spans()]


def current():
    return trace.get_current_span().get_span_context()


async def current_later():
    return current()


def current_of(_):
    return current()


def fails():
    raise ValueError


def test_one_trace_leads_through_a_process_to_a_call_that_is_made_there(spans):
    import json

    tracer = provider_to(ours).get_tracer("user")
    with ProcessPoolExecutor(1, initializer=set_provider) as executor:
        with tracer.start_as_current_span("caller"):
            pid, trace_id, remote = executor.submit(outer).result()
    assert pid != os.getpid()
    here = spans()
    there = {span["name"].rpartition(".")[2]: span for span in map(json.loads, remote)}
    caller, call = here["caller"], here["outer"]
    assert call.parent.span_id == caller.context.span_id
    nested, within = there["inner"], there["within"]
    assert int(nested["parent_id"], 16) == call.context.span_id
    assert within["parent_id"] == nested["context"]["span_id"]
    ids = {caller.context.trace_id, call.context.trace_id, trace_id}
    ids |= {int(span["context"]["trace_id"], 16) for span in there.values()}
    assert len(ids) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_span_of_a_call_is_the_current_one_in_it(kind, spans):
    with KINDS[kind]() as executor, using(executor):
        plain = executor.submit(current).result()
        later = parallelized(current_later)().result()
        rows = list(executor.map(current_of, range(3)))
    found = spans()
    assert plain.span_id == found["current"].context.span_id
    assert later.span_id == found["current_later"].context.span_id
    assert {row.trace_id for row in rows} & {found["current_of"].context.trace_id}
    assert found["current"].attributes["parallelize.executor"] == kind


@pytest.mark.parametrize("kind", KINDS)
def test_a_span_says_how_the_call_ended_and_where_and_lasts_as_long(kind, spans):
    with KINDS[kind]() as executor, using(executor):
        parallelized(retries=1, retry_wait=0)(fails)().exception()
    span = spans()["fails"]
    assert not span.status.is_ok
    assert span.attributes["parallelize.attempts"] == 2
    assert span.attributes["parallelize.worker"]
    (started,) = span.events
    assert started.name == "started"
    assert span.start_time <= started.timestamp <= span.end_time


def test_nothing_is_recorded_before_and_after(spans):
    telemetry.instrument()  # once more: nothing happens
    telemetry.uninstrument()
    with ThreadPoolExecutor(1) as executor:
        assert not executor.submit(current).result().is_valid
    assert spans() == {}


def test_the_numbers_of_the_pools_are_observed():
    reader = InMemoryMetricReader()
    telemetry.instrument(meter_provider=MeterProvider([reader]))
    try:
        parallelize.shutdown()
        list(parallelize.thread_map(abs, range(5)))
        metrics = reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics
    finally:
        telemetry.uninstrument()
        parallelize.shutdown()
    points = {each.name: each.data.data_points for each in metrics}
    assert [point.value for point in points["parallelize.calls_done"]] == [5]
    assert points["parallelize.workers"][0].attributes == {"pool": "threads"}
    assert len(points) == 9


def test_prometheus_reads_the_numbers_over_http():
    registry = CollectorRegistry()
    parallelize.shutdown()
    with ThreadPoolExecutor(1) as executor:
        parallelize.prometheus.register({"crawler": executor}, registry)
        with pytest.raises(ValueError, match="Duplicated"):
            parallelize.prometheus.register(registry=registry)
        list(parallelize.thread_map(abs, range(7)))
        executor.submit(fails).exception()
        server, thread = start_http_server(0, "127.0.0.1", registry)
        address = f"http://127.0.0.1:{server.server_port}/metrics"
        with urllib.request.urlopen(address) as response:
            lines = response.read().decode().splitlines()
        server.shutdown()
        server.server_close()
        thread.join()
    parallelize.shutdown()
    assert 'parallelize_calls_done_total{pool="threads"} 7.0' in lines
    assert 'parallelize_calls_failed_total{pool="crawler"} 1.0' in lines
    assert 'parallelize_workers{pool="crawler"} 1.0' in lines
    assert "# TYPE parallelize_workers_busy gauge" in lines


def test_other_executors_are_refused():
    with pytest.raises(TypeError, match="executors must be executors of parallelize"):
        parallelize.prometheus.StatsCollector({"mine": object()})
