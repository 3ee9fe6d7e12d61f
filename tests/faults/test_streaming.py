"""What becomes of streams when workers die, readers leave and programs end."""

from __future__ import annotations

import signal

import pytest
from harness import run, started

from support.programs import program

COMMON = program("streaming/common")


def streaming(program: str) -> str:
    import textwrap

    return COMMON + textwrap.dedent(program)


# Death.


@pytest.mark.parametrize("end", ["os._exit(3)", "os.kill(os.getpid(), 9)"])
def test_death_comes_after_the_items_that_came(method: str, end: str) -> None:
    done = run(
        streaming(program("streaming/death_comes_after_the_items_that_came", END=end)),
        method,
    )
    assert done.lines == ["True True WorkerDied"] * 3 + ["0 1 2"], done.err
    assert done.code == 0


def test_death_while_it_is_held_back(method: str) -> None:
    """The worker stands and waits for its reader when it is killed."""
    done = run(streaming(program("streaming/death_while_it_is_held_back")), method)
    assert done.lines == ["True True WorkerDied", "7 1"], done.err


def test_other_calls_do_not_notice(method: str) -> None:
    done = run(streaming(program("streaming/other_calls_do_not_notice")), method)
    assert done.lines == ["{'WorkerDied'}", "{50}", "19900"], done.err


def test_a_timeout_kills_the_worker_alone(method: str) -> None:
    done = run(streaming(program("streaming/a_timeout_kills_the_worker_alone")), method)
    assert done.lines == ["([1], 'TaskTimeout') 1000"], done.err


def test_a_stream_of_nonsense_costs_its_worker(method: str) -> None:
    """A task that writes to its worker's socket harms itself alone."""
    done = run(
        streaming(program("streaming/a_stream_of_nonsense_costs_its_worker")), method
    )
    assert done.lines == ["True WorkerDied [0, 1, 2]"], done.err


# Leaks.


def test_nothing_is_left_of_many_streams(method: str) -> None:
    done = run(streaming(program("streaming/nothing_is_left_of_many_streams")), method)
    assert done.lines == ["7", "nothing left"], done.err


def test_the_reader_holds_a_bounded_part() -> None:
    """An endless stream with a slow reader takes no more memory."""
    done = run(
        streaming(program("streaming/the_reader_holds_a_bounded_part")), "forkserver"
    )
    assert done.lines == ["True"], done.err


def test_large_items_that_are_kept(method: str) -> None:
    """More items with buffers are held than there are segments."""
    done = run(streaming(program("streaming/large_items_that_are_kept")), method)
    assert done.lines == ["True"], done.err


# The end of the program.


@pytest.mark.parametrize("decorator", ["processed", "threaded"])
@pytest.mark.parametrize("state", ["unread", "half read", "held in a ring"])
def test_the_program_ends_with_an_open_stream(decorator: str, state: str) -> None:
    """It is closed, and its `finally` runs: nobody waits for what never ends."""
    done = run(
        streaming(
            program(
                "streaming/the_program_ends_with_an_open_stream",
                DECORATOR=decorator,
                STATE=state,
            )
        ),
        timeout=15,
    )
    assert done.code == 0, done.err
    # One that nobody has read from may not have begun: then it never does.
    assert done.lines in (["end", "closed"], ["end"] if state == "unread" else [])
    assert done.seconds < 10
    assert done.err == ""


@pytest.mark.parametrize("decorator", ["processed", "threaded"])
def test_ctrl_c_while_a_reader_waits(decorator: str) -> None:
    text = streaming(
        program("streaming/ctrl_c_while_a_reader_waits", DECORATOR=decorator)
    )
    with started(text) as child:
        assert child.process.stdout.readline() == "1\n"
        child.process.send_signal(signal.SIGINT)
        _, err = child.process.communicate(timeout=10)
        assert child.process.returncode == -signal.SIGINT
        assert err.count("KeyboardInterrupt") == 1
        child.check_gone(err)


@pytest.mark.parametrize("decorator", ["processed", "threaded"])
def test_ctrl_c_that_is_caught(decorator: str) -> None:
    """The reader goes on with the stream where it was."""
    text = streaming(program("streaming/ctrl_c_that_is_caught", DECORATOR=decorator))
    with started(text) as child:
        assert child.process.stdout.readline() == "1\n"
        child.process.send_signal(signal.SIGINT)
        out, err = child.process.communicate(timeout=10)
        assert out.splitlines() == ["caught", "2 3"], err
        assert child.process.returncode == 0
        child.check_gone(err)


def test_the_program_is_killed_with_an_open_stream() -> None:
    text = streaming(
        """
        stream = processed(pid_first)()
        print(next(stream), flush=True)
        time.sleep(60)
        """
    )
    with started(text) as child:
        child.process.stdout.readline()
        child.process.kill()
        child.process.communicate()
        child.check_gone(grace=5)


# Forks.


@pytest.mark.parametrize("decorator", ["processed", "threaded"])
def test_a_stream_in_a_forked_child(decorator: str) -> None:
    """The child gets an error at once, and its own streams; the parent reads on."""
    done = run(
        streaming(program("streaming/a_stream_in_a_forked_child", DECORATOR=decorator))
    )
    assert done.lines == [
        "0",
        "the stream was opened before os.fork(), it belongs to the parent",
        "0 1 2",
        "1 2 3 4 5 6 7 8 9",
    ], done.err


def test_a_generator_that_forks(method: str) -> None:
    """The copy of the worker never reaches the pool."""
    done = run(streaming(program("streaming/a_generator_that_forks")), method)
    assert done.lines == ["1 2 3"], done.err
