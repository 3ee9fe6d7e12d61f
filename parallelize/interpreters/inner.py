"""The inner side: an interpreter that serves requests.

It loads the same pickling modules as a worker process, and no others, as that
determines how long an interpreter takes to start.
"""

from __future__ import annotations

import os
import sys
from _thread import get_ident
from typing import TYPE_CHECKING, Any

from parallelize.inside import place
from parallelize.interpreters.wire import receive, send
from parallelize.process.wire import messages
from parallelize.runtime import raised
from parallelize.runtime.clock import monotonic, perf_counter
from parallelize.serialize import PLAIN, pickling
from parallelize.serialize.reducers import origins, reductions, replica
from parallelize.serialize.reducers.placeholders import substitute_results

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parallelize.process.wire.frames import Part
    from parallelize.runtime.options import CallOptions

    Answer = tuple[bool, Sequence[bytes]]

#: The kinds of requests.
CALL, ROWS, END = range(3)

#: What is sent instead of an answer to ask whether the request was asked to stop.
QUESTION = None

#: Seconds between two questions, each of which takes the other side's time, too.
ASK_EVERY = 0.001

_inside = False


def inside_interpreter() -> bool:
    """Whether this is a subinterpreter that was made for calls."""
    return _inside


def serve(requests: int, answers: int, index: int, count: int) -> None:
    """Read requests from one descriptor and write answers to the other, until END.

    Args:
        requests: The descriptor to read.
        answers: The descriptor to write.
        index: The number of this interpreter in its pool.
        count: The maximum number of interpreters in the pool.
    """
    global _inside
    _inside = True
    place.begin(index, count, "interpreters")
    origins.begin_worker(is_copy=False)
    reductions.refuse_always(reductions.SAME_PROCESS)
    replica.begin_empty()
    send(answers, os.getpid())
    try:
        _serve(requests, answers)
    finally:
        kept = sys.modules.get("parallelize.inside.kept")
        if kept is not None:
            kept.close_program()


class _Stops:
    """Asks the outer side whether the request that is served was asked to stop.

    The thread that serves does so: it alone may use the pipes.
    """

    def __init__(self, requests: int, answers: int) -> None:
        self._requests = requests
        self._answers = answers
        self._thread = get_ident()
        self._asked = False
        self._next = 0.0  # when to ask again

    def begin(self) -> None:
        """Note that another request is served from here on."""
        self._asked = False
        place.asked = self.asked

    def asked(self) -> bool:
        """Whether that is so; True remains."""
        if self._asked or get_ident() != self._thread or monotonic() < self._next:
            return self._asked
        send(self._answers, QUESTION)
        self._asked = receive(self._requests)
        self._next = monotonic() + ASK_EVERY
        return self._asked


def _serve(requests: int, answers: int) -> None:
    stops = _Stops(requests, answers)
    while True:
        try:
            kind, *request = receive(requests)
        except EOFError:
            return
        if kind == END:
            return
        stops.begin()
        answer = _call(*request) if kind == CALL else _rows(*request)
        place.asked = None
        send(answers, answer)


def _call(fn: bytes, arguments: Sequence[Part], values: Sequence[Part]) -> Answer:
    try:
        function = pickling.decode_function(fn)
        with substitute_results(pickling.loads(values) if values else ()):
            args, kwargs = pickling.loads(arguments)
        return True, _parts_of(function(*args, **kwargs))
    except BaseException as error:  # noqa: BLE001 - it belongs to the call
        return False, [_failure(error)]


def _rows(
    fn: bytes, encoded: Sequence[Part], options: bytes
) -> tuple[list[Any] | None, Sequence[Answer], float]:
    """Call a function with each row.

    Returns:
        The values of all rows, if they are plain; else the outcome of each row; and
        the seconds that the calls took.
    """
    run = _run_again(pickling.loads([options])) if options else _run_once
    begun = perf_counter()
    results = [run(fn, row) for row in pickling.loads(encoded)]
    seconds = perf_counter() - begun
    if all(done and type(value) in PLAIN for done, value in results):
        return [value for _, value in results], (), seconds
    return None, [_outcome(*each) for each in results], seconds


def _run_once(fn: bytes, row: tuple[Any, ...]) -> tuple[bool, Any]:
    try:
        return True, pickling.decode_function(fn)(*row)
    except BaseException as error:  # noqa: BLE001 - it belongs to the row
        return False, error


def _run_again(options: CallOptions) -> Callable[..., tuple[bool, Any]]:
    """Return a function that calls with a row, and retries."""
    from parallelize.calls.call import run_retrying
    from parallelize.futures.future import Failure

    def run(fn: bytes, row: tuple[Any, ...]) -> tuple[bool, Any]:
        def call() -> Any:
            return pickling.decode_function(fn)(*row)

        value = run_retrying(call, (), {}, options)
        if type(value) is Failure:
            return False, value.error
        return True, value

    return run


def _outcome(done: bool, value: Any) -> Answer:
    try:
        return done, _parts_of(value) if done else [_failure(value)]
    except BaseException as refusal:  # noqa: BLE001 - it belongs to the row
        return False, [_failure(refusal)]


def _parts_of(value: object) -> list[bytes]:
    try:
        return list(map(bytes, pickling.dumps_back(value)))
    except Exception:  # noqa: BLE001 - the next call raises a better error
        from parallelize.process.worker.sender import pickled_result

        return list(map(bytes, pickled_result(value, lambda _: None)))


def _failure(error: BaseException) -> bytes:
    if raised.is_a(error, ImportError):
        advise(error)
    return messages.encode_failure(error)


_SIGN = "does not support loading in subinterpreters"


def advise(error: ImportError) -> None:
    """Say what to do about a module that only the main interpreter can load."""
    cause: BaseException | None = error
    while cause is not None and _SIGN not in raised.text_of(cause):
        cause = raised.source_of(cause)
    if cause is None or _ADVICE in raised.text_of(error):
        return
    # The message of the module's package is often long, and about other problems.
    text = raised.text_of(cause).strip().splitlines()[-1]
    advice = f"{text.removeprefix('Original error was: ')}: {_ADVICE}"
    raised.set_state(error, {"args": (advice,), "msg": advice})


_ADVICE = (
    "it works in the main interpreter alone, so run functions that need it in "
    "processes (@processed, ProcessPoolExecutor) or in threads (@threaded)"
)
