"""Celery, started by its command, with the prefork pool and time limits."""

import pytest

PACKAGE = PROJECT = "celery"


@pytest.fixture
def ask(project):
    """Ask a running worker of Celery for tasks; return the lines of their results."""
    command = "-A", "app", "worker", "--concurrency=1", "--loglevel=INFO"

    def ask(*tasks):
        return project.python("client.py", *tasks).splitlines()

    with project.started(project.tool("celery"), *command):
        yield ask


def test_tasks_make_calls_in_threads_and_processes(ask):
    first, second, doubled, pids = ask("total:10", "total:10", "doubled:4", "pids")
    assert first == second == "total 550"
    assert doubled == "doubled 8"
    task, worker = eval(pids.removeprefix("pids"))
    assert task != worker


def test_a_soft_limit_is_raised_where_a_result_is_waited_for(ask):
    assert ask("total:3", "stopped_softly", "total:3") == [
        "total 39",
        "stopped_softly True",
        "total 39",
    ]


def test_no_thread_of_ours_takes_the_signal_that_billiard_blocks(ask):
    assert ask("threads_that_take_sigterm") == ["threads_that_take_sigterm [True]"]


def test_tasks_are_answered_after_a_hard_limit(ask):
    """billiard's worker must not die while it holds the lock of their queue."""
    rounds = 6
    answers = ask(*["stopped_hard", "total:3"] * rounds)
    assert answers == ["stopped_hard TimeLimitExceeded(1)", "total 39"] * rounds
