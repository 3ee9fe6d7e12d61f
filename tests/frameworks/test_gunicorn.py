"""`drain_on_signal` in gunicorn, whose own handler decides when its processes end."""

import signal
import threading
import urllib.error

import pytest
from server import Client

from support.waiting import wait_until

PACKAGE = PROJECT = "flask"


@pytest.fixture
def served(project):
    """Start gunicorn, and a request in which calls run and wait."""

    def served(*options, **environment):
        client, answers = Client(), []
        command = project.tool("gunicorn"), "--workers=1", "--no-control-socket"
        command += *options, "--bind", client.address, "draining_app:app"

        def ask():
            try:
                answers.append(client.get("work"))
            except urllib.error.HTTPError as error:
                answers.append(error.code)
                error.close()

        asking = threading.Thread(target=ask)
        with project.started(*command, **environment) as server:
            client.get_once_it_is("ready", lambda answer: answer["ready"])
            asking.start()
            wait_until((project.folder / "running").exists, 20)
            server.send_signal(signal.SIGTERM)
            wait_until((project.folder / "asked").exists, 20)
            yield server
            asking.join(20)
        yield answers

    return served


@pytest.mark.parametrize("kind", ["sync", "gthread"])
def test_a_request_that_is_served_gets_its_answer(project, served, kind):
    """Its calls are finished, those that wait, too, and it may make others."""
    steps = served(f"--worker-class={kind}")
    server = next(steps)
    (project.folder / "go").touch()
    assert server.wait(20) == 0
    assert next(steps) == [{"finished": [0, 1, 2], "later": 7}]
    assert "Traceback" not in (project.folder / "log").read_text()


def test_a_call_that_hangs_ends_with_the_grace(served):
    steps = served("--graceful-timeout=60", GRACE="0.5")
    server = next(steps)
    assert server.wait(20) == 0
    assert next(steps) == [500]  # as its call was killed
