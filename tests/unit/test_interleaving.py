"""The scheduler of these tests itself: it tries every way, and finds what is wrong."""

import math

import pytest

from support.interleaving import explore


def steps(run, count):
    return lambda: [run.step() for _ in range(count)]


@pytest.mark.parametrize("counts", [(1, 1), (2, 3), (2, 1, 1)])
def test_every_order_is_tried_once(counts):
    orders = []

    def scenario(run):
        order = []

        def script(number, count):
            for _ in range(count):
                run.step()
                order.append(number)

        for number, count in enumerate(counts):
            run.spawn(lambda number=number, count=count: script(number, count))
        run.go()
        orders.append(tuple(order))

    explore(scenario)
    different = math.factorial(sum(counts))
    for count in counts:
        different //= math.factorial(count)
    assert len(set(orders)) == different


def test_a_lost_update_is_found():
    results = set()

    def scenario(run):
        number = 0

        def add():
            nonlocal number
            read = number
            run.step()
            number = read + 1

        run.spawn(add)
        run.spawn(add)
        run.go()
        results.add(number)

    explore(scenario)
    assert results == {1, 2}


def test_without_preemption_each_runs_to_its_end():
    def scenario(run):
        order = []
        for name in "ab":
            run.spawn(lambda name=name: [(run.step(), order.append(name))] * 2)
        run.go()
        assert sorted(order) == ["a", "b"]

    assert explore(scenario, preemptions=0) == 2


def test_two_locks_in_two_orders_are_found():
    stuck = []

    def scenario(run):
        first, second = run.lock(), run.lock()

        def take(outer, inner):
            with outer, inner:
                pass

        run.spawn(lambda: take(first, second))
        run.spawn(lambda: take(second, first))
        run.go()
        stuck.append(len(run.stuck))

    explore(scenario)
    assert set(stuck) == {0, 2}


def test_a_forgotten_notify_is_found():
    def scenario(run):
        condition = run.condition(run.lock())
        items = []

        def wait():
            with condition:
                condition.wait_for(lambda: items)

        def put():
            with condition:
                items.append(1)

        run.spawn(wait)
        run.spawn(put)
        run.go()
        stuck.append(run.stuck)

    stuck = []
    explore(scenario)
    assert ["thread 0"] in stuck


def test_a_timeout_may_pass_or_not():
    ways = set()

    def scenario(run):
        lock = run.plain_lock()
        lock.acquire()
        run.spawn(lambda: ways.add(lock.acquire(timeout=1)))
        run.spawn(lock.release)
        run.go()

    explore(scenario)
    assert ways == {True, False}


def test_an_error_names_its_schedule():
    def scenario(run):
        def fail():
            raise LookupError("it")

        run.spawn(lambda: run.step())
        run.spawn(fail)
        run.go()

    with pytest.raises(LookupError) as failure:
        explore(scenario)
    assert "first=" in failure.value.__notes__[0]
