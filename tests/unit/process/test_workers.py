"""The table of workers against stand-ins: which of them stay, and which have to leave."""

import math
from types import SimpleNamespace

import pytest

from parallelize.process.parent.deadlines import Deadlines
from parallelize.process.parent.tasks.worker_handle import WorkerStage
from parallelize.process.parent.workers import Workers
from parallelize.process.start.config import PoolSettings


class Handle:
    """A worker without a process."""

    def __init__(self, id):
        self.id, self.index, self.begun, self.is_heavy = id, id - 1, 0, False
        self.stage, self.tasks = WorkerStage.SERVING, {}
        self.idle_since, self.killed = 0.0, False

    def heavier_than(self, most):
        return self.is_heavy

    def leave(self):
        self.stage = WorkerStage.LEAVING

    def kill(self):
        self.killed = True


@pytest.fixture
def deadlines():
    return Deadlines(lambda: None)


@pytest.fixture
def make(deadlines):
    def make(count, *, most=None, idle_timeout=None):
        settings = PoolSettings(count, "spawn", None, (), most, None, idle_timeout)
        workers = Workers(settings, SimpleNamespace(), deadlines)
        workers.update({id: Handle(id) for id in range(1, count + 1)})
        return workers

    return make


def stages(workers):
    return [worker.stage.name for worker in workers.values()]


def test_idle_workers_leave_when_there_is_no_slot_for_them(make):
    workers = make(3)
    workers[1].tasks = {1: "a task"}
    workers.on_idle(workers[2])
    workers.on_idle(workers[3])
    workers.add_slots(-1)
    workers.retire_surplus()
    assert stages(workers) == ["SERVING", "SERVING", "LEAVING"]  # the highest index
    workers.add_slots(-1)
    workers.retire_surplus()
    workers.add_slots(-1)
    workers.retire_surplus()  # the busy one stays until it is idle
    assert stages(workers) == ["SERVING", "LEAVING", "LEAVING"]
    assert workers.idle == []
    workers.on_idle(workers[1])
    assert stages(workers) == ["LEAVING"] * 3


def test_an_idle_worker_that_may_have_no_further_call_leaves(make):
    workers = make(2, most=5)
    workers[1].begun = 5
    workers[2].begun = 3
    assert [workers.room(worker) for worker in workers.values()] == [0, 2]
    for worker in workers.values():
        workers.on_idle(worker)
    assert stages(workers) == ["LEAVING", "SERVING"]
    workers[2].is_heavy = True
    assert workers.room(workers[2]) == 0


@pytest.mark.parametrize("ends", [False, True])
def test_a_worker_that_does_not_leave_in_time_is_killed(make, deadlines, ends):
    workers = make(1)
    worker = workers[1]
    workers.on_idle(worker)
    workers.retire(worker)
    assert not worker.killed
    if ends:
        workers.remove(worker)
    deadlines.do_what_is_due(math.inf)
    assert worker.killed  # which does nothing to one that has ended
    assert list(workers) == ([] if ends else [1])


def test_a_worker_that_has_been_idle_for_long_leaves(make, deadlines, monkeypatch):
    now = 100.0
    for module in ("workers", "deadlines"):
        name = f"parallelize.process.parent.{module}.monotonic"
        monkeypatch.setattr(name, lambda: now)
    workers = make(2, idle_timeout=10.0)
    for worker in workers.values():
        workers.on_idle(worker)
    now = 105.0
    workers.idle.remove(workers[2])  # it has a task for a moment
    workers.on_idle(workers[2])
    now = 110.0
    deadlines.do_what_is_due(now)
    assert stages(workers) == ["LEAVING", "SERVING"]
    now = 115.0
    deadlines.do_what_is_due(now)
    assert stages(workers) == ["LEAVING", "LEAVING"]


def test_nothing_is_left_of_an_idle_worker_that_has_ended(make, deadlines):
    workers = make(1, idle_timeout=10.0)
    worker = workers[1]
    workers.on_idle(worker)
    workers.remove(worker)
    assert (dict(workers), workers.idle) == ({}, [])
    deadlines.do_what_is_due(math.inf)
    assert worker.stage is WorkerStage.SERVING
