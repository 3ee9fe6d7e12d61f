"""cpu_count: affinity, cgroups of both versions, what the user says."""

import os
import subprocess
import sys

import pytest

from parallelize import cpu_count
from parallelize.runtime import cpus

V2 = "30 1 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"
V1 = "33 32 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n34 32 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"


@pytest.fixture
def machine(tmp_path):
    """Write a file of a made-up machine, given its path and text."""

    def write(path, text):
        file = tmp_path / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    write.root = str(tmp_path)
    write.quota = lambda: cpus.cgroup_quota(str(tmp_path))
    return write


def test_no_cgroups_at_all(machine):
    assert machine.quota() is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max 100000\n", None),
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),
        ("100001 100000\n", 2),
        ("1000 100000\n", 1),
        ("50000 50000\n", 1),
        ("", None),
        ("max\n", None),
        ("nonsense 100000\n", None),
        ("-1 100000\n", None),
        ("200000 0\n", None),
        ("200000 100000 7\n", None),
        ("\x00\x01", None),
    ],
)
def test_version_2(machine, text, expected):
    machine("/proc/self/cgroup", "0::/job\n")
    machine("/proc/self/mountinfo", V2)
    machine("/sys/fs/cgroup/job/cpu.max", text)
    assert machine.quota() == expected


def test_version_2_the_least_of_all_parents_counts(machine):
    machine("/proc/self/cgroup", "0::/a/b/c\n")
    machine("/proc/self/mountinfo", V2)
    machine("/sys/fs/cgroup/a/b/c/cpu.max", "800000 100000\n")
    machine("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n")
    machine("/sys/fs/cgroup/a/cpu.max", "300000 100000\n")
    assert machine.quota() == 3
    machine("/sys/fs/cgroup/cpu.max", "200000 100000\n")
    assert machine.quota() == 2


def test_version_2_in_a_container_that_sees_itself_as_the_root(machine):
    machine("/proc/self/cgroup", "0::/\n")
    machine("/proc/self/mountinfo", V2)
    machine("/sys/fs/cgroup/cpu.max", "400000 100000\n")
    assert machine.quota() == 4


def test_version_2_outside_of_what_is_mounted(machine):
    machine("/proc/self/cgroup", "0::/../../other\n")
    machine("/proc/self/mountinfo", V2)
    machine("/sys/fs/cgroup/cpu.max", "400000 100000\n")
    assert machine.quota() == 4


def test_version_1(machine):
    machine("/proc/self/cgroup", "5:memory:/job\n4:cpu,cpuacct:/job\n0::/\n")
    machine("/proc/self/mountinfo", V1)
    machine("/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "250000\n")
    machine("/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n")
    assert machine.quota() == 3
    machine("/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "-1\n")
    assert machine.quota() is None
    machine("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "100000\n")
    machine("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n")
    assert machine.quota() == 1


def test_version_1_mounted_from_a_containers_own_group(machine):
    machine("/proc/self/cgroup", "4:cpu,cpuacct:/docker/abc/inner\n")
    machine("/proc/self/mountinfo", V1.replace(" / /sys", " /docker/abc /sys"))
    machine("/sys/fs/cgroup/cpu,cpuacct/inner/cpu.cfs_quota_us", "500000\n")
    machine("/sys/fs/cgroup/cpu,cpuacct/inner/cpu.cfs_period_us", "100000\n")
    machine("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "600000\n")
    machine("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n")
    assert machine.quota() == 5


def test_version_1_in_another_group_than_the_mounted(machine):
    machine("/proc/self/cgroup", "4:cpu:/elsewhere\n")
    machine("/proc/self/mountinfo", V1.replace(" / /sys", " /docker/abc /sys"))
    machine("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "600000\n")
    machine("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n")
    assert machine.quota() == 6


def test_both_versions_at_once(machine):
    machine("/proc/self/cgroup", "4:cpu,cpuacct:/one\n0::/two\n")
    machine(
        "/proc/self/mountinfo",
        V1 + V2.replace("/sys/fs/cgroup", "/sys/fs/cgroup/unified"),
    )
    machine("/sys/fs/cgroup/cpu,cpuacct/one/cpu.cfs_quota_us", "700000\n")
    machine("/sys/fs/cgroup/cpu,cpuacct/one/cpu.cfs_period_us", "100000\n")
    assert machine.quota() == 7
    machine("/sys/fs/cgroup/unified/two/cpu.max", "200000 100000\n")
    assert machine.quota() == 2


def test_a_mount_point_with_blanks(machine):
    machine("/proc/self/cgroup", "0::/job\n")
    machine("/proc/self/mountinfo", V2.replace("/sys/fs/cgroup", "/my\\040groups"))
    machine("/my groups/job/cpu.max", "200000 100000\n")
    assert machine.quota() == 2


@pytest.mark.parametrize(
    "cgroup", ["", "::\n", "0::\n", "garbage\n", "1:cpu\n", "\n\n"]
)
@pytest.mark.parametrize(
    "mounts",
    ["", "garbage\n", "1 2 3 / - \n", " - cgroup2\n", "1 2 3 / /x rw - cgroup\n"],
)
def test_bad_text_is_no_quota(machine, cgroup, mounts):
    machine("/proc/self/cgroup", cgroup)
    machine("/proc/self/mountinfo", mounts)
    assert machine.quota() is None


def test_undecodable_text_is_no_quota(machine, tmp_path):
    machine("/proc/self/cgroup", "0::/\n")
    machine("/proc/self/mountinfo", V2)
    machine("/sys/fs/cgroup/cpu.max", "")
    (tmp_path / "sys/fs/cgroup/cpu.max").write_bytes(b"\xff\xfe")
    assert machine.quota() is None


def test_the_least_bound_counts(monkeypatch):
    monkeypatch.delenv("PYTHON_CPU_COUNT", raising=False)
    for affinity, quota, expected in [(8, None, 8), (8, 3, 3), (2, 3, 2)]:
        monkeypatch.setattr(cpus, "_allowed_by_affinity", lambda n=affinity: n)
        monkeypatch.setattr(cpus, "cgroup_quota", lambda q=quota: q)
        assert cpu_count() == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_where_it_is_forbidden_to_ask_for_the_affinity_all_count(monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "sched_getaffinity", refuse)
    assert cpus._allowed_by_affinity() == os.cpu_count()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_affinity_counts():
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert cpu_count() == 1
    finally:
        os.sched_setaffinity(0, allowed)


SHOW = "import parallelize.runtime.cpus as c; print(c.cpu_count(), c.default_workers(), c.default_threads())"


def counts(*options, **environment):
    clean = {
        k: v
        for k, v in os.environ.items()
        if k not in ("PYTHON_CPU_COUNT", "PARALLELIZE_MAX_WORKERS")
    }
    done = subprocess.run(
        [sys.executable, *options, "-c", SHOW],
        env=clean | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [int(word) for word in done.stdout.split()]


def test_the_user_has_the_last_word():
    assert counts(PYTHON_CPU_COUNT="5") == [5, 5, 9]
    assert counts(PARALLELIZE_MAX_WORKERS="7")[1:] == [7, 7]
    assert counts("-X", "cpu_count=3", PYTHON_CPU_COUNT="5") == [3, 3, 7]
    assert counts("-X", "cpu_count=40", PARALLELIZE_MAX_WORKERS="7") == [40, 7, 7]
    assert counts("-X", "cpu_count=40")[2] == 32
    assert counts(PYTHON_CPU_COUNT="default") == counts()


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", "99999999999", "10001", "²"])
def test_a_wrong_number_of_workers_names_the_variable(monkeypatch, text):
    monkeypatch.setenv("PARALLELIZE_MAX_WORKERS", text)
    with pytest.raises(
        ValueError, match="PARALLELIZE_MAX_WORKERS must be a whole number from 1"
    ):
        cpus.default_workers()


def test_no_number_of_workers(monkeypatch):
    monkeypatch.setenv("PARALLELIZE_MAX_WORKERS", " ")
    assert cpus.workers_from_environment() is None
    monkeypatch.setenv("PARALLELIZE_MAX_WORKERS", " 3 ")
    assert cpus.default_workers() == cpus.default_threads() == 3
