"""Flask under servers that start processes of their own: gunicorn, uWSGI."""

import sys
import threading

import pytest
from server import Client

PACKAGE = PROJECT = "flask"
TOTAL = 450 + 16 + 8


def is_right(answer):
    return answer["total"] == TOTAL and answer["server"] != answer["worker"]


@pytest.mark.parametrize("preload", [[], ["--preload"]])
def test_gunicorn_with_greenlets_serves_others_while_a_request_waits(project, preload):
    pytest.importorskip("gevent")
    client = Client()
    options = "--worker-class=gevent", "--workers=1", "--no-control-socket", *preload
    command = project.tool("gunicorn"), *options, "--bind", client.address
    with project.started(*command, "site_app:app"):
        client.get_once_it_is("total", is_right)
        held = []
        waiting = threading.Thread(target=lambda: held.append(client.get("held")))
        waiting.start()
        client.get("release")
        waiting.join(20)
        assert held == ["released"]


def test_gunicorn_has_workers_for_each_of_its_processes(project):
    client = Client()
    options = "--workers=2", "--no-control-socket", "--bind", client.address
    with project.started(project.tool("gunicorn"), *options, "site_app:app"):
        answers = [client.get_once_it_is("total", is_right)]
        client.get_once_it_is(
            "total", lambda answer: answer["server"] != answers[0]["server"]
        )
        # Each has its own.
        for _ in range(10):
            answers.append(client.get("total"))
        pairs = {(each["server"], each["worker"]) for each in answers}
        workers = [worker for _, worker in pairs]
        assert len(set(workers)) == len(workers)


@pytest.mark.parametrize("name", ["uwsgi", "pyuwsgi"])
def test_uwsgi_whose_python_is_the_server_itself(project, name):
    if not project.tool(name).exists():
        pytest.skip(f"needs {name}")
    client = Client()
    options = "--master", "--processes=2", "--enable-threads", "--die-on-term"
    options += f"--venv={sys.prefix}", "--http", client.address
    app = "--wsgi-file=site_app.py", "--callable=app"
    with project.started(project.tool(name), *options, *app):
        for _ in range(4):
            client.get_once_it_is("total", is_right)
