"""``python -m parallelize``: what the library finds on a machine."""

import io
import os
import re
import subprocess
import sys

import pytest

import parallelize
from parallelize import __main__ as command
from parallelize import cpu_count
from parallelize.insight import doctor


def run(*arguments, **environment):
    root = os.path.dirname(os.path.dirname(parallelize.__file__))
    return subprocess.run(
        [sys.executable, "-m", "parallelize", *arguments],
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join([root, *sys.path[1:]])}
        | environment,
    )


def looked(**environment):
    done = run("doctor", "--no-test", **environment)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def line(text, name):
    [found] = re.findall(rf"^  {re.escape(name)} +(.*)$", text, re.MULTILINE)
    return found


def test_help_is_of_use():
    for arguments in ([], ["--help"]):
        done = run(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        for word in (
            "python -m parallelize",
            "doctor",
            "@processed",
            "PARALLELIZE_MAX_WORKERS",
            "PARALLELIZE_EXECUTOR",
        ):
            assert word in done.stdout
    assert "--no-test" in run("doctor", "--help").stdout


def test_a_wrong_command_says_so():
    done = run("operate")
    assert done.returncode == 2
    assert "invalid choice: 'operate'" in done.stderr


def test_the_version(capsys):
    assert command.main(["--version"]) == 0
    assert re.fullmatch(r"parallelize \S+\n", capsys.readouterr().out)


def test_it_looks_at_everything():
    text = looked()
    assert sys.executable in text
    assert line(text, "Python").endswith(sys.version.split()[0])
    for start_method in ("forkserver", "spawn", "fork"):
        assert start_method in line(text, "of this library")
    assert line(text, "cpu_count()") == str(cpu_count())
    assert "processes" in line(text, "workers of a pool")
    assert line(text, "open files").isdigit()
    assert "unknown" not in text
    assert line(text, "ray")
    assert re.match(r"\d", line(text, "cloudpickle"))


def test_cpus_by_their_sources():
    text = looked(PYTHON_CPU_COUNT="3", PARALLELIZE_MAX_WORKERS="7")
    assert line(text, "by PYTHON_CPU_COUNT") == "3"
    assert line(text, "by PARALLELIZE_MAX_WORKERS") == "7"
    assert line(text, "by affinity") == str(len(os.sched_getaffinity(0)))
    assert line(text, "by cgroup")
    assert line(text, "workers of a pool") == "7 processes, 7 threads"


def test_threads_of_numeric_libraries():
    text = looked(OMP_NUM_THREADS="5")
    assert line(text, "OMP_NUM_THREADS") == "5"
    assert line(text, "in each worker") == "as set"
    assert line(text, "MKL_NUM_THREADS")


def test_memory_limits_are_read_from_the_cgroup(monkeypatch):
    monkeypatch.setattr(
        doctor.cpus, "_group_directories", lambda root: [("a", 2), ("b", 2)]
    )
    monkeypatch.setattr(
        doctor.cpus,
        "_read",
        lambda folder, name: "max" if folder == "a" else "2147483648\n",
    )
    assert doctor._cgroup_memory() == "2 GiB"


def test_the_pools_are_tried_for_about_five_seconds(monkeypatch):
    monkeypatch.setattr(doctor, "LONGEST", 0.4)
    out = io.StringIO()
    assert doctor.doctor(out) == 0
    text = out.getvalue()
    for pool in (
        "threads",
        "processes, forkserver",
        "processes, spawn",
        "processes, fork",
    ):
        assert re.match(
            r"ready in .*; a call takes .*; [\d,]+ calls/s; map: [\d,]+ items/s",
            line(text, pool),
        )
    assert "DOES NOT WORK" not in text


def test_the_time_is_kept():
    assert doctor.LONGEST == 5.0


class Broken:
    def submit(self, *_):
        raise OSError("no process can be started")

    def shutdown(self, **_):
        pass


def test_a_pool_that_does_not_work(monkeypatch):
    trial = doctor._trial("processes", Broken, 0.1)
    assert not trial.works
    assert trial.text == "DOES NOT WORK: OSError: no process can be started"
    monkeypatch.setattr(doctor, "_trials", lambda: [trial])
    out = io.StringIO()
    assert doctor.doctor(out) == 1
    assert "DOES NOT WORK" in out.getvalue()


def test_a_section_that_fails_spoils_no_other(monkeypatch):
    def fail():
        yield "one", "line"
        raise OSError("no such file")

    monkeypatch.setattr(doctor, "_SECTIONS", [("a", fail), ("python", doctor._python)])
    out = io.StringIO()
    assert doctor.doctor(out, test=False) == 0
    assert "OSError: no such file" in out.getvalue()
    assert line(out.getvalue(), "one") == "line"
    assert "executable" in out.getvalue()


@pytest.mark.parametrize("package", ["surely-not-installed-anywhere"])
def test_what_is_not_installed(package):
    assert doctor.version(package) is None
