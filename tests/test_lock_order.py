"""The order of all locks: written down, and held by `parallelize.runtime.ranked`."""

import contextlib
import os
import pathlib
import re
import subprocess
import sys
import textwrap
import threading

import pytest

import parallelize
from parallelize.runtime import locks
from support.programs import program

PACKAGE = pathlib.Path(parallelize.__file__).parent
DESIGN = pathlib.Path(__file__).parent.parent / "docs" / "design.md"

#: Where a lock is made that nothing is guarded by: threads are woken by it.
APART = ("runtime/locks.py", "runtime/ranked.py", "threads/workers.py")

NAMES = [name for names in locks.ORDER for name in names]


def run(program, **environment):
    path = os.pathsep.join([str(PACKAGE.parent), *sys.path[1:]])
    return subprocess.run(
        [sys.executable, "-P", "-c", textwrap.dedent(program)],
        env=os.environ | {"PYTHONPATH": path, locks.DEBUG_VARIABLE: "1"} | environment,
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )


# ------------------------------------------------------------------- written down


def test_each_lock_of_the_package_is_made_by_name():
    made = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        where = file.relative_to(PACKAGE).as_posix()
        for name in re.findall(
            r"""locks\.(?:plain|reentrant)\(\s*["'](.+?)["']""", text
        ):
            made.setdefault(name, []).append(where)
        if where not in APART:
            bare = r"(?:threading|_thread|native)\.(?:R?Lock|allocate_lock|Event|\w*Semaphore)\("
            assert not re.search(bare, text), where
            assert "threading.Condition(" not in text, where
    assert sorted(made) == sorted(NAMES)


def test_no_name_stands_twice_in_the_order():
    assert len(set(NAMES)) == len(NAMES)


def test_the_order_stands_in_the_design():
    text = DESIGN.read_text(encoding="utf-8")
    section = text.split("\n## Locks\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \| (.+?) \|", section, re.MULTILINE)
    shown = [(int(rank), name) for rank, name in rows]
    order = [
        (rank, f"`{name}`")
        for rank, names in enumerate(locks.ORDER, 1)
        for name in names
    ]
    assert shown == order


def test_a_name_that_is_not_there():
    with pytest.raises(KeyError):
        locks.reentrant("nothing")


# ------------------------------------------------------------------ by default


def test_without_the_variable_locks_are_those_of_python():
    text = program("lock_order/without_the_variable_locks_are_those_of_python")
    for value in ("", "0"):
        done = run(text, PARALLELIZE_DEBUG_LOCKS=value)
        assert done.returncode == 0, done.stderr


# ------------------------------------------------------------------ while debugged

PRELUDE = """
import gc, os, signal, threading, weakref
from parallelize.runtime import locks, ranked
def lock(name, make=locks.reentrant): return make(name)()
pools, pool, future, roster = map(lock, ("pools", "pool", "future", "roster"))
plain = lock("stream", locks.plain)
"""


def held(program):
    return run(PRELUDE + textwrap.dedent(program) + "\nprint('held', flush=True)")


@pytest.mark.parametrize(
    "program",
    [
        "with pools, pool, future, roster: pass",
        "with pool, pool: pass",
        "with pool, roster, pool: pass",
        "with roster: pass\nwith pool: pass",
        "with future, lock('future'): pass",
        "with roster: assert pool.acquire(timeout=1)",
        "with roster: assert pool.acquire(blocking=False)",
        "with roster: t = threading.Thread(target=pool.acquire); t.start(); t.join()",
        "with plain: assert not plain.acquire(blocking=False)",
        "with plain: assert plain.locked()",
    ],
)
def test_what_keeps_the_order(program):
    done = held(program)
    assert (done.returncode, done.stdout) == (0, "held\n"), done.stderr


@pytest.mark.parametrize(
    ("program", "what"),
    [
        ("with roster:\n  with pool: pass", "'pool' .* is taken under <lock 'roster'"),
        ("with roster, pool: pass", "'pool' .* is taken under <lock 'roster'"),
        ("roster.acquire()\npools.acquire()", "'pools' .* under <lock 'roster'"),
        ("with pool, lock('pool'): pass", "'pool' .* under <lock 'pool'"),
        ("with plain:\n  with plain: pass", "'stream' .* by the thread that holds it"),
        (
            "c = threading.Condition(pool)\nwith roster:\n  with c: pass",
            "'pool' .* under <lock 'roster'",
        ),
    ],
)
def test_what_does_not_ends_the_process_and_says_where(program, what):
    done = held(program)
    assert done.returncode == -6
    assert done.stdout == ""
    assert re.search(what, done.stderr)
    assert done.stderr.count("in <module>") == 2  # where each was taken


@pytest.mark.parametrize("name", ["pool", "future"])
def test_conditions_wait_on_them(name):
    done = held(program("lock_order/conditions_wait_on_them", NAME=repr(name)))
    assert (done.returncode, done.stdout) == (0, "held\n"), done.stderr


def test_a_condition_of_ours_is_as_pythons_own():
    lock = threading.RLock()
    condition = locks.Condition(lock)
    with condition as taken, contextlib.ExitStack() as stack:
        assert taken
        assert stack.enter_context(condition)
        assert locks.depth(lock) == 2
    assert locks.depth(lock) == 0
    with pytest.raises(RuntimeError, match="un-acquired"):
        condition.notify()


def test_a_plain_one_has_conditions_too():
    done = held(
        """
        changed = threading.Condition(plain)
        with changed:
            assert not changed.wait(0.01)
        """
    )
    assert (done.returncode, done.stdout) == (0, "held\n"), done.stderr


def test_a_signal_handler_comes_upon_any_lock():
    done = held(
        """
        def handler(*_):
            with pool, roster: pass
        assert signal.signal(signal.SIGUSR1, handler) == signal.SIG_DFL
        assert signal.getsignal(signal.SIGUSR1) is handler
        with roster: signal.raise_signal(signal.SIGUSR1)
        assert signal.signal(signal.SIGUSR1, signal.SIG_IGN) is handler
        """
    )
    assert (done.returncode, done.stdout) == (0, "held\n"), done.stderr


STEPS = program("shared/steps")


@pytest.mark.parametrize("which", ["roster", "plain"])
def test_ctrl_c_leaves_none_taken(which):
    done = held(STEPS + program("lock_order/ctrl_c_leaves_none_taken", WHICH=which))
    assert (done.returncode, done.stdout) == (0, "held\n"), done.stderr


def test_what_a_condition_waits_under_is_looked_at():
    done = held(
        """
        with pool, roster: threading.Condition(pool).wait(0.01)
        """
    )
    assert done.returncode == -6
    assert re.search("'pool' .* is taken under <lock 'roster'", done.stderr)


def test_a_lock_that_is_left_taken_is_known():
    done = held(program("lock_order/a_lock_that_is_left_taken_is_known"))
    assert (done.returncode, done.stdout) == (0, "held\n"), done.stderr


def test_a_forked_child_holds_nothing():
    done = held(
        """
        with roster:
            if not os.fork():
                with lock("pools"): os._exit(0)
            assert os.wait()[1] == 0
        """
    )
    assert (done.returncode, done.stdout) == (0, "held\n"), done.stderr


@pytest.mark.parametrize(
    "how",
    [
        "class Thing:\n  def __del__(self):\n    with roster: pass\n",
        "class Thing: pass\nfinalize = lambda thing: weakref.finalize(thing, take)\n",
    ],
)
@pytest.mark.parametrize("is_ours", [False, True])
def test_a_finaliser_of_the_package_takes_no_lock(how, is_ours):
    where = str(PACKAGE / "thing.py") if is_ours else "elsewhere.py"
    text = f"{how}\ndef take():\n  with roster: pass\n"
    done = held(
        f"""
exec(compile({text!r}, {where!r}, "exec"))
thing = Thing()
if "finalize" in globals(): finalize(thing)
del thing
"""
    )
    if is_ours:
        assert done.returncode == -6
        assert "'roster'" in done.stderr
        assert "taken by a finaliser" in done.stderr
    else:
        assert (done.returncode, done.stdout) == (0, "held\n"), done.stderr
