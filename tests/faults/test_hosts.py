"""What runs the program is no Python that could be started again."""

import pytest
from harness import run

from support.programs import program


@pytest.fixture
def runs(tmp_path, method):
    """Run the program in such a host; return what it printed, and how it went."""

    def run_in(host):
        env = {"HOST": host, "FOLDER": str(tmp_path)}
        done = run(program("hosts"), method, env=env, timeout=60)
        return done, lines("runs"), lines("started")

    def lines(name):
        path = tmp_path / name
        return len(path.read_text().splitlines()) if path.exists() else 0

    return run_in


@pytest.mark.parametrize("host", ["frozen", "compiled"])
def test_the_program_runs_once_and_its_workers_work(runs, host):
    done, ran, started = runs(host)
    assert done.code == 0, done.err
    assert (ran, started) == (1, 0), done
    assert done.lines[:2] == ["9", "[0, 1, 4]"]
    assert sorted(done.lines[-3:]) == ["25", "begun", "end"]


@pytest.mark.parametrize("host", ["none", "empty"])
def test_without_an_executable_the_call_says_so(runs, method, host):
    done, ran, started = runs(host)
    assert (ran, started) == (1, 0)
    if method != "fork":
        assert "RuntimeError: there is no Python to start" in done.lines[0]
        assert "set_executable" in done.lines[0]
    assert done.lines[-1] == "end"


def test_a_host_that_runs_the_program_again_is_an_error(runs, method):
    done, ran, started = runs("host")
    if method == "fork":
        assert (done.lines[0], ran, started) == ("9", 1, 0)
        return
    assert ran == started + 1 <= 10, done
    assert "/host, has ended" in done.lines[0]
    assert done.lines[0].startswith("WorkerStartError: ")
    assert (
        done.lines.count("end") == 1
    )  # those that were started again have not gone on
    assert done.err.count("multiprocessing.set_executable()") == started


def test_the_executable_that_multiprocessing_was_told_is_taken(runs, method):
    done, ran, started = runs("told")
    assert done.code == 0, done.err
    assert ran == 1
    assert done.lines[0] == "9"
    assert (started > 0) == (method != "fork")


@pytest.mark.parametrize("host", ["plain", "frozen", "told"])
def test_a_program_that_a_task_starts_has_workers_of_its_own(runs, host):
    done, _, _ = runs(host)
    assert "('3\\n', '', [])" in done.lines, done
