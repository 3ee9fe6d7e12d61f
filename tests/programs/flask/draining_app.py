"""An application whose processes of gunicorn end in order."""

import os
import pathlib
import signal
import time

from flask import Flask, jsonify

from parallelize import drain_on_signal, processed, threaded

app = Flask(__name__)
servers_own = signal.getsignal(signal.SIGTERM)


def note(*args):
    pathlib.Path("asked").touch()
    servers_own(*args)


signal.signal(signal.SIGTERM, note)
drain_on_signal(grace=float(os.environ.get("GRACE", "30")))


@processed(max_workers=1)
def run(n):
    """Run until the file "go" is there."""
    pathlib.Path("running").touch()
    while not os.path.exists("go"):
        time.sleep(0.005)
    return n


@app.get("/ready")
def ready():
    return jsonify(ready=True)


@app.get("/work")
def work():
    running_and_queued = [run(n) for n in range(3)]
    return jsonify(
        finished=[each.result() for each in running_and_queued],
        later=threaded(abs)(-7).result(),
    )
