"""Nothing from outside gets in, and a worker harms itself alone."""

from __future__ import annotations

import pathlib
import re
import textwrap

import pytest
from harness import run

from support.free_threading import limited_memory
from support.programs import program

#: What the tests look at in /proc.
LOOKING = program("security/looking")

#: What a task may use to misbehave on its own socket.
COMPROMISED = program("security/compromised")


def looking(program: str) -> str:
    return LOOKING + textwrap.dedent(program)


def test_nothing_listens(method: str) -> None:
    """No listening socket, before the first call or after it."""
    done = run(program("security/nothing_listens"), method)
    assert done.lines == ["set() set() True []"]
    assert (done.code, done.err) == (0, "")


def test_descriptors_are_close_on_exec(method: str, tmp_path: pathlib.Path) -> None:
    """In the program, the server and two workers."""
    done = run(
        looking(program("security/descriptors_are_close_on_exec")),
        method,
        env={"FOLDER": str(tmp_path)},
    )
    assert done.lines == ["[] True"], done
    assert (done.code, done.err) == (0, "")


def test_worker_holds_no_other_workers_ends(
    method: str, tmp_path: pathlib.Path
) -> None:
    """Two workers share no socket and no memory, with each other or the server."""
    done = run(
        looking(program("security/worker_holds_no_other_workers_ends")),
        method,
        env={"FOLDER": str(tmp_path)},
    )
    assert done.lines == [f"{[set()] * 3} True"], done
    assert (done.code, done.err) == (0, "")


def test_subprocess_of_a_task_inherits_nothing(method: str) -> None:
    """Not even with close_fds=False; nor does one that the program starts."""
    done = run(program("security/subprocess_of_a_task_inherits_nothing"), method)
    assert done.lines == [str(["[]\n"] * 3)]
    assert (done.code, done.err) == (0, "")


def test_inheritable_descriptor_of_the_program_is_not_kept() -> None:
    """A service's listening socket is not held open by workers (default method)."""
    done = run(program("security/inheritable_descriptor_of_the_program_is_not_kept"))
    assert done.lines == ["False"]
    assert (done.code, done.err) == (0, "")


def test_nothing_has_a_name(method: str, tmp_path: pathlib.Path) -> None:
    """No temporary file, nothing in /dev/shm, whatever the umask, while it works."""
    done = run(
        program("security/nothing_has_a_name"), method, env={"TMPDIR": str(tmp_path)}
    )
    assert done.lines == ["set() {20971520}"]
    assert list(tmp_path.iterdir()) == []


def test_command_lines_hold_no_secret(method: str, tmp_path: pathlib.Path) -> None:
    """Neither arguments of calls nor authentication keys are in /proc/*/cmdline."""
    done = run(
        looking(program("security/command_lines_hold_no_secret")),
        method,
        env={"FOLDER": str(tmp_path)},
    )
    assert done.lines == ["False False False"]
    assert (done.code, done.err) == (0, "")


def test_workers_start_in_isolated_mode(tmp_path: pathlib.Path) -> None:
    """A file in the current folder or next to the script stands in for no module."""
    for name in ("socket", "struct", "pickle", "site"):
        (tmp_path / f"{name}.py").write_text("import os; os.write(1, b'BOOM')")
    done = run(
        f"""
        from parallelize import ProcessPoolExecutor
        import pickle, socket, struct
        os.chdir({str(tmp_path)!r})
        sys.path[:] = [p for p in sys.path if p not in ("", ".")]
        with executor(1) as ex: print(ex.submit(abs, -1).result())
        """,
        "spawn",
    )
    assert done.lines == ["1"]
    assert (done.code, done.err) == (0, "")


GARBAGE = {
    "noise": "send(b'\\xff' * 4096)",
    "text": "send(b'GET / HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n' * 50)",
    "zeros": "send(bytes(4096))",
    "unknown task": "send(frame(13, 1 << 60, bomb()))",
    "unknown task, failed": "send(frame(14, 1 << 60, bomb()))",
    "unknown rows": "send(frame(15, 1 << 60, bomb()))",
    "unknown kind": "send(frame(999, 1, bomb()))",
    "too many parts": "send(frame(13, 1, count=65535, lengths=[0] * 65535))",
    "longer than any memory": "send(frame(13, 1, lengths=[1 << 63], count=1))",
    "longer than this memory": "send(frame(13, 1, lengths=[1 << 45], count=1))",
    "lengths that overflow": "send(frame(13, 1, lengths=[1 << 63, 1 << 63], count=2))",
    "no part": "send(frame(13, 1)); send(frame(14, 1)); send(frame(12, 0)); send(frame(18, 0))",
    "failure that is none": "send(frame(14, 1, b'no pickle'))",
    "start failed, no pickle": "send(frame(12, 0, b'no pickle'))",
    "given back, no pickle": "send(frame(18, 0, b'no pickle'))",
    "given back, nonsense": "import pickle; send(frame(18, 0, pickle.dumps((['x', 7], (1 << 70, 3)))))",
    "given back, wrong shape": "import pickle; send(frame(18, 0, pickle.dumps(5)))",
    "rows for a call": "import pickle; send(frame(15, 1, pickle.dumps([1]))); send(frame(16, 1, b'x'))",
    "closed": "[sock.shutdown(2) for sock in socks()]",
}


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(what, marks=limited_memory if "this memory" in what else ())
        for what in GARBAGE
    ],
)
def test_compromised_worker_harms_itself_alone(what: str) -> None:
    """Ids, counts and lengths are checked: garbage costs that worker, not the pool."""
    done = run(
        COMPROMISED
        + program(
            "security/compromised_worker_harms_itself_alone", GARBAGE=GARBAGE[what]
        )
    )
    assert done.lines[0] == str([i * i for i in range(8)]), done
    assert len(done.lines) == 3, done
    assert done.lines[1] not in ("TimeoutError", "CancelledError"), done
    assert done.lines[2] == "[0, 1, 2, 3]", done
    assert "BOOM" not in done.out
    assert done.code == 0
    # A worker without sockets ends; if its result was there, only the log tells.
    assert done.err == "" or re.fullmatch("worker .* ran no call.*\n", done.err)


@pytest.mark.parametrize(
    "what",
    [
        "send(b'\\xff' * 4096)",
        "send(frame(15, 1 << 60, bomb()))",
        "send(frame(15, 1, b'no pickle'))",
        "send(frame(15, 1, b'no pickle', extra=7))",
        "send(frame(17, 1, b'no pickle', extra=0))",
        "send(frame(16, 1, extra=0))",
        "send(frame(16, 1, b'x', extra=99999))",
    ],
)
def test_compromised_worker_in_a_map(what: str) -> None:
    """The same while a map's rows are under way: the map ends, the pool goes on."""
    done = run(COMPROMISED + program("security/compromised_worker_in_a_map", WHAT=what))
    assert done.lines == ["20", "[0, 1, 2, 3]"], done
    assert "BOOM" not in done.out
    assert (done.code, done.err) == (0, "")


def test_page_full_of_nonsense(method: str) -> None:
    """What a worker writes into the shared page is read with suspicion."""
    done = run(program("security/page_full_of_nonsense"), method)
    assert done.lines[0] == str([i * i for i in range(8)]), done
    assert done.lines[-1] == "[0, 1, 2, 3]", done
    assert done.lines[1] == "WorkerDied"
    assert (done.code, done.err) == (0, "")


def test_output_of_crashes_goes_to_stderr_alone(
    method: str, tmp_path: pathlib.Path
) -> None:
    """A segfault's stacks are on stderr, once; no core dump or report is left."""
    done = run(
        f"""
        os.chdir({str(tmp_path)!r})
        import faulthandler, resource
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with executor(1) as ex:
            print(outcome(ex.submit(faulthandler._sigsegv)))
            print(ex.submit(abs, -1).result())
        """,
        method,
    )
    assert "SIGSEGV" in done.lines[0]
    assert done.lines[1] == "1"
    assert done.err.count("Fatal Python error: Segmentation fault") == 1
    assert list(tmp_path.iterdir()) == []
