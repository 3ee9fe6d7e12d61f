"""Switches the recording of tasks on and off, for traces and observers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parallelize.tracing import recording

if TYPE_CHECKING:
    from parallelize.tracing.recording import Sink


def on(sink: Sink) -> None:
    """Send records of new tasks to a sink."""
    from parallelize.process.parent.pool import Pool
    from parallelize.process.parent.tasks import traced

    with recording.lock:
        recorder = recording.active or recording.Recorder()
        recorder.add(sink)
        recording.active = recorder
        Pool.call_task, Pool.rows_task = traced.TracedCall, traced.TracedRows
        Pool.coroutine_task = traced.TracedCoroutine
        Pool.stream_task = traced.TracedStream


def off(sink: Sink) -> None:
    """Send no more records to a sink; record nothing if it was the last one."""
    from parallelize.process.parent.pool import Pool
    from parallelize.process.parent.tasks.call import CallTask
    from parallelize.process.parent.tasks.coroutine import CoroutineTask
    from parallelize.process.parent.tasks.stream import StreamTask

    with recording.lock:
        recorder = recording.active
        if recorder is not None and recorder.remove(sink):
            recording.active = None
            Pool.call_task, Pool.rows_task = CallTask, None
            Pool.coroutine_task, Pool.stream_task = CoroutineTask, StreamTask
