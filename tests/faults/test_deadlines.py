"""Calls are stopped from outside: `timeout=` and `Future.kill`."""

from __future__ import annotations

import textwrap

import pytest

from support.programs import program

#: What every program here can do: count its runs, and run for ever.
TOOLS = program("shared/numbers") + program("deadlines/tools")


@pytest.mark.parametrize(
    "hang",
    [
        "time.sleep(60)",
        "exec('while True: pass')",
        "os.kill(os.getpid(), signal.SIGSTOP)",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)",
        "signal.pthread_sigmask(0, signal.valid_signals()); time.sleep(60)",
    ],
    ids=["sleeps", "computes", "stopped", "ignores", "blocks"],
)
def test_timeout_kills(hang: str, method: str, counted) -> None:
    """At the deadline, whatever it does; the next call runs."""
    done = counted(program("deadlines/timeout_kills", HANG=hang), method)
    assert done.lines == [
        "TaskTimeout: __main__.task ran longer than its timeout of 0.2 seconds",
        "True",
        "1 1",
        "False",
        "nothing left",
    ]
    assert "is killed, as __main__.task runs for longer than its timeout" in done.err
    assert "Traceback" not in done.err


def test_stopped_worker_is_not_dead(counted) -> None:
    """Without a timeout it is not declared dead, and continues."""
    done = counted(program("deadlines/stopped_worker_is_not_dead"))
    assert done.lines == ["[0, 1, 4, 9] True", "went on 1"]


def test_timeout_is_from_the_start_of_the_call(counted) -> None:
    """Waiting for a worker, or behind others in a batch, does not count."""
    done = counted(program("deadlines/timeout_is_from_the_start_of_the_call"))
    assert done.lines == ["True", "True", "True"]


def test_timeout_spares_the_rest_of_a_batch(method: str, counted) -> None:
    """Hundreds of tiny calls, some hang: those alone fail, no other runs twice."""
    done = counted(program("deadlines/timeout_spares_the_rest_of_a_batch"), method)
    assert done.lines == ["True", "True", "True"]


@pytest.mark.parametrize("chunk", [None, 1, 1000])
def test_timeout_of_each_item_of_a_map(chunk: int | None, method, counted) -> None:
    """`timeout=` bounds each item; its neighbours in the chunk run once."""
    done = counted(
        program("deadlines/timeout_of_each_item_of_a_map", CHUNK=chunk), method
    )
    assert done.lines == ["True", "True", "True"]


@pytest.mark.parametrize("form", ["calls", "rows"])
def test_call_that_ends_at_its_deadline(form: str, counted) -> None:
    """A call that ends as the blow falls lives or dies; the next never dies for it."""
    done = counted(program("deadlines/call_that_ends_at_its_deadline", FORM=repr(form)))
    assert done.lines == ["[]", "True", "True"]


@pytest.mark.parametrize("form", ["calls", "rows"])
def test_worker_is_at_the_next_call_when_the_blow_falls(form: str, counted) -> None:
    """The same, made certain: the halt comes when the next has begun.

    The next is spared, and it has a deadline of its own still.
    """
    done = counted(
        program(
            "deadlines/worker_is_at_the_next_call_when_the_blow_falls", FORM=repr(form)
        )
    )
    assert done.lines == ["[0, 1, 'TaskTimeout', 3]", "[0, 1, 2, 3]"]


def test_timeouts_of_many_workers_at_once(counted) -> None:
    """Every worker is at its deadline in the same moment."""
    done = counted(program("deadlines/timeouts_of_many_workers_at_once"))
    assert done.lines == [f"{['TaskTimeout'] * 4} True True"]


def test_kill_a_running_call(method: str, counted) -> None:
    """`Future.kill` stops it at once; calls behind it run, each once."""
    done = counted(program("deadlines/kill_a_running_call"), method)
    assert done.lines == [
        "True TaskKilled: __main__.task was killed while it ran",
        "True",
        "False False False",
        "True nothing left",
    ]


def test_kill_a_queued_call(counted) -> None:
    """It is cancelled, never runs, and costs no worker."""
    done = counted(program("deadlines/kill_a_queued_call"))
    assert done.lines == ["True True", "True [0, 2]"]


#: Tasks that end when the test's program says so.
UNTIL_GO = 'while not os.path.exists(os.environ["DIR"] + "/go"): time.sleep(0.002)'


def batch(stop: str, others: str = "pass") -> str:
    """Return what starts a batch; a worker does this in its 20th call."""
    return program("deadlines/batch", STOP=stop, OTHERS=others)


def test_kill_calls_behind_a_running_one(counted) -> None:
    """Whether they wait at the worker or came back from it: they never run."""
    done = counted(
        batch(UNTIL_GO) + program("deadlines/kill_calls_behind_a_running_one")
    )
    assert done.lines == [
        "{True} {True}",
        str([*range(21), 39]),
        "True",
        str([*range(21), 39]),
    ]


def test_nothing_waits_behind_a_long_call(counted) -> None:
    """What was sent with a call that turns out long runs elsewhere meanwhile."""
    done = counted(
        batch(UNTIL_GO, "time.sleep(0.0005)")
        + program("deadlines/nothing_waits_behind_a_long_call")
    )
    assert done.lines == ["0 False", "True", "True"]


def test_kill_the_running_call_of_a_batch(counted) -> None:
    """Those behind it in the batch run elsewhere, each once."""
    done = counted(
        batch("time.sleep(60)")
        + textwrap.dedent(
            """
            with executor(1) as ex:
                futures = start(ex)
                print(futures[20].kill())
                got = [name(f) for f in futures]
            print(got.pop(20), got == [i for i in range(40) if i != 20])
            print(runs() == list(range(40)))
            """
        )
    )
    assert done.lines == ["True", "TaskKilled True", "True"]


def test_callback_of_a_killed_call_may_wait_for_another_thread(counted) -> None:
    """Whichever thread calls it, no lock of the pool is held then."""
    done = counted(
        batch("os.kill(os.getpid(), signal.SIGSTOP)")
        + program("deadlines/callback_of_a_killed_call_may_wait_for_another_thread")
    )
    assert sorted(done.lines) == ["True", "free"]


def test_kill_from_many_threads_at_once(counted) -> None:
    """One of them or all hear True; the worker dies for this call alone."""
    done = counted(program("deadlines/kill_from_many_threads_at_once"))
    assert done.lines == ["TaskKilled True True"]


def test_killed_calls_are_counted(counted) -> None:
    """Calls are killed at random moments: each ends, none runs twice."""
    done = counted(program("deadlines/killed_calls_are_counted"))
    assert done.lines == ["True", "True True True"]


def test_timeout_and_server_gone(counted) -> None:
    """The deadline holds though the process that starts workers was killed."""
    done = counted(program("deadlines/timeout_and_server_gone"))
    assert done.lines == ["TaskTimeout 1 [1]"]
