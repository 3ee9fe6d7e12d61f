"""The program forks, or its workers are forks of it."""

from __future__ import annotations

import pathlib
import textwrap

import pytest
from harness import run, started

from support.programs import program
from support.waiting import wait_until

FORKING = program("fork/forking")


def forking(program: str) -> str:
    return FORKING + textwrap.dedent(program)


def test_child_makes_a_fresh_pool(method: str) -> None:
    """The executor works on in the child, with workers of its own."""
    done = run(forking(program("fork/child_makes_a_fresh_pool")), method)
    assert done.lines == [*["child set() [1, 2]"] * 2, "0 0", "parent True"]
    assert (done.code, done.err) == (0, "")


def test_children_use_decorated_functions() -> None:
    """The preload of a server: used before the fork, and in each child."""
    done = run(forking(program("fork/children_use_decorated_functions")))
    assert done.lines == [*["child set()"] * 2, "0 0", "parent True"]
    assert (done.code, done.err) == (0, "")


def test_child_of_multiprocessing() -> None:
    """The same in a process that multiprocessing forks."""
    done = run(forking(program("fork/child_of_multiprocessing")))
    assert done.lines == ["1", "2", "0 3"]
    assert (done.code, done.err) == (0, "")


def test_inherited_futures_fail_at_once_in_the_child(
    method: str, tmp_path: pathlib.Path
) -> None:
    """Pending ones raise; ended ones keep what they came to."""
    done = run(
        forking(
            program(
                "fork/inherited_futures_fail_at_once_in_the_child",
                GO=repr(str(tmp_path / "go")),
            )
        ),
        method,
    )
    assert done.lines[0] == "1"
    assert all("parent" in line for line in done.lines[1:3])
    assert all(line.startswith("RuntimeError: ") for line in done.lines[1:3])
    assert done.lines[3] == "2 False False"
    assert done.lines[4] in ("RuntimeError", "CancelledError")
    assert done.lines[5:] == ["0", "run 2 [3]"]
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize(
    "ending",
    [
        "sys.exit(0)",
        "ex.shutdown(); sys.exit(0)",
        "ex.kill_workers(); sys.exit(0)",
        "del ex, running; import gc; gc.collect(); sys.exit(0)",
        "ex.submit(abs, -1).result(); sys.exit(0)",
        "os.abort()",
    ],
)
def test_end_of_the_child_leaves_the_parents_pool_alone(
    ending: str, tmp_path: pathlib.Path
) -> None:
    """Neither its exit nor a close there stops what the parent runs."""
    done = run(
        forking(
            program(
                "fork/end_of_the_child_leaves_the_parents_pool_alone",
                GO=repr(str(tmp_path / "go")),
                ENDING=ending,
            )
        )
    )
    assert done.lines == ["-6 True True" if "abort" in ending else "0 True True"]
    assert (done.code, done.err) == (0, "")


def test_fork_while_threads_submit(method: str) -> None:
    """Whatever lock another thread held, the child works."""
    done = run(forking(program("fork/fork_while_threads_submit")), method)
    assert done.lines == ["{0}", "1"]
    assert (done.code, done.err) == (0, "")


def test_fork_while_a_thread_makes_the_global_pool() -> None:
    """The locks of the global pools are replaced, too.

    Not the very first time: a fork while another thread imports a module leaves
    that module locked in the child, which is CPython's affair.
    """
    done = run(forking(program("fork/fork_while_a_thread_makes_the_global_pool")))
    assert done.lines == ["{0}"]
    assert (done.code, done.err) == (0, "")


def test_forked_child_does_not_keep_the_workers_alive(method: str) -> None:
    """The parent is killed; its fork lives on, the workers do not."""
    with started(
        forking(program("fork/forked_child_does_not_keep_the_workers_alive")), method
    ) as child:
        assert child.process.stdout is not None
        forked = int(child.process.stdout.readline())
        child.process.kill()
        child.process.communicate(timeout=10)  # nobody else holds stdout
        wait_until(lambda: child.processes() == [forked])


def test_default_start_method_does_not_fork_the_program() -> None:
    """With threads running no warning of a fork is given: there is none."""
    done = run(
        """
        from parallelize import processed
        threading.Thread(target=time.sleep, args=(0.3,)).start()
        os.register_at_fork(before=lambda: print("forked"))
        print(processed(abs)(-1).result())
        """,
        env={"PYTHONWARNINGS": "error"},
    )
    assert (done.code, done.out, done.err) == (0, "1\n", "")


def test_random_numbers_differ(method: str, tmp_path: pathlib.Path) -> None:
    """Two workers do not draw the same numbers, nor those of the parent."""
    pytest.importorskip("numpy")
    done = run(
        program("fork/random_numbers_differ", FOLDER=tmp_path),
        method,
    )
    assert done.lines == ["[3, 3, 3]"]


def test_script_without_a_guard(method: str, tmp_path: pathlib.Path) -> None:
    """A script needs no ``__main__`` guard; no worker runs it again."""
    script = tmp_path / "script.py"
    script.write_text(program("fork/script_without_a_guard", METHOD=repr(method)))
    done = run(f"os.execv(sys.executable, [sys.executable, {str(script)!r}])")
    assert done.lines == ["the script runs", "[2, 4]", "8"]
    assert (done.code, done.err) == (0, "")
