"""Flask under servers that start processes of their own: gunicorn, uWSGI."""

import sys
import threading

import pytest
from server import Client

from support.waiting import wait_until

PACKAGE = PROJECT = "flask"
TOTAL = 450 + 16 + 8


def is_right(answer):
    return answer["total"] == TOTAL and answer["server"] != answer["worker"]


@pytest.fixture
def ask_beside(project):
    """Ask for something while another request waits for a call; return both answers."""

    def ask_beside(client, path):
        held = []
        waiting = threading.Thread(target=lambda: held.append(client.get("held")))
        waiting.start()
        wait_until((project.folder / "waiting").exists, 20)
        beside = client.get(path)
        (project.folder / "released").touch()
        waiting.join(20)
        return held[0], beside

    return ask_beside


@pytest.mark.parametrize("preload", [[], ["--preload"]])
def test_gunicorn_with_greenlets_serves_others_while_a_request_waits(
    project, ask_beside, preload
):
    pytest.importorskip("gevent")
    client = Client()
    options = "--worker-class=gevent", "--workers=1", "--no-control-socket", *preload
    command = project.tool("gunicorn"), *options, "--bind", client.address
    with project.started(*command, "site_app:app"):
        client.get_once_it_is("total", is_right)
        held, beside = ask_beside(client, "total")
        assert is_right(beside)
        assert held["server"] == beside["server"]


def test_gunicorn_has_workers_for_each_of_its_processes(project, ask_beside):
    client = Client()
    options = "--workers=2", "--no-control-socket", "--bind", client.address
    with project.started(project.tool("gunicorn"), *options, "site_app:app"):
        client.get_once_it_is("total", is_right)
        held, beside = ask_beside(client, "total")
        assert is_right(beside)
        assert held["server"] != beside["server"]
        assert held["worker"] != beside["worker"]


def test_uwsgi_whose_python_is_the_server_itself(project):
    if not project.tool("uwsgi").exists():
        pytest.skip("needs uWSGI")
    client = Client()
    options = "--master", "--processes=2", "--enable-threads", "--die-on-term"
    options += f"--venv={sys.prefix}", "--http", client.address
    app = "--wsgi-file=site_app.py", "--callable=app"
    with project.started(project.tool("uwsgi"), *options, *app):
        for _ in range(4):
            client.get_once_it_is("total", is_right)
