"""Django: management commands, scripts, the development server, its ORM in workers."""

import contextlib
import os
import sys

import pytest
from server import Client

from support.waiting import wait_until

PACKAGE = PROJECT = "django"
METHODS = ("forkserver", "spawn", "fork")


@pytest.fixture
def shop(project):
    project.python("manage.py", "fill")
    return project


def test_a_management_command_calls_functions_beside_models(shop):
    printed = shop.python("manage.py", "total").splitlines()
    # The program's handlers have the worker's record, and no handler of its own.
    printed.remove("item 1 is asked for")
    assert printed == ["15", "15", "item 1", "item 2"]


def test_a_script_with_setup_at_its_top_calls_them(shop):
    assert shop.python("script.py").splitlines() == [
        "15",
        "item 3 is asked for",
        "item 2 item 3",
    ]


def test_a_script_with_settings_of_its_own_calls_them(shop):
    assert shop.python("configured.py") == "15 hello\n"


def test_an_error_says_what_to_do_if_django_was_not_set_up(shop):
    one, kind, advice, price = shop.python("early.py").splitlines()
    assert (one, kind, price) == ("1", "AppRegistryNotReady", "1")
    assert "django.setup() before" in advice
    assert "initializer=django.setup" in advice


def test_a_worker_that_cannot_set_django_up_still_runs_what_does_not_need_it(shop):
    one, kind, why = shop.python("broken.py").splitlines()
    assert (one, kind) == ("1", "AppRegistryNotReady")
    assert why == "Django cannot be set up in a worker: OSError: not in workers"


@pytest.mark.parametrize("method", METHODS)
def test_no_worker_has_a_connection_of_the_parent(shop, method):
    shop.edit("connections.py", "METHOD", method)
    lines = shop.python("connections.py").splitlines()
    *workers, parent = lines
    assert parent == "True 5"
    assert len(workers) == 6
    assert "False False 5" in workers  # at the first call of a worker
    assert {line.split()[1] for line in workers} == {"False"}


def test_workers_use_the_database_of_a_test_run(shop):
    errors = shop.folder / "errors"
    test = f"manage.py test --verbosity=0 2> {errors}"
    shop.run("sh", "-c", f"{sys.executable} {test}")
    assert "OK" in errors.read_text()


def test_the_development_server_reloads_workers_too(shop):
    client = Client()
    with shop.started(shop.tool("python"), "manage.py", "runserver", client.address):
        old = client.get_once_it_is("total", lambda answer: answer["total"] == 15)
        shop.edit("stock/work.py", "FACTOR = 1", "FACTOR = 10")
        new = client.get_once_it_is("total", lambda answer: answer["total"] == 150)
        assert new["worker"] != old["worker"]
        wait_until(lambda: not is_there(old["worker"]))


def is_there(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False
