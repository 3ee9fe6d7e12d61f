"""Tasks that make process calls. The broker is a folder, so that no server is needed."""

import os
import pathlib
import signal

import prices
from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded

from parallelize import processed, threaded

QUEUE = pathlib.Path(__file__).parent / "queue"
for folder in ("messages", "control", "results"):
    (QUEUE / folder).mkdir(parents=True, exist_ok=True)

app = Celery("app", broker="filesystem://", backend=(QUEUE / "results").as_uri())
app.conf.broker_transport_options = {
    "data_folder_in": QUEUE / "messages",
    "data_folder_out": QUEUE / "messages",
    "control_folder": QUEUE / "control",
    "polling_interval": 0.2,
}


@processed
def square(n):
    return n * n


@threaded
def double(n):
    return 2 * n


@app.task
def total(n):
    return sum(prices.price.map(range(n))) + square(n).result()


@app.task
def doubled(n):
    return double(n).result()


@app.task
def pids():
    return os.getpid(), prices.pid().result()


@app.task
def threads_that_take_sigterm():
    prices.pid().result()
    tasks = pathlib.Path("/proc/self/task").iterdir()
    return [
        int(each.name) == os.getpid() for each in tasks if takes(each, signal.SIGTERM)
    ]


def takes(task, number):
    blocked = (task / "status").read_text().partition("SigBlk:")[2].split()[0]
    return not int(blocked, 16) >> (number - 1) & 1


@app.task(soft_time_limit=1)
def stopped_softly():
    nap = prices.nap(60)
    try:
        nap.result()
    except SoftTimeLimitExceeded:
        return nap.kill()


@app.task(time_limit=1)
def stopped_hard():
    prices.nap(60).result()
