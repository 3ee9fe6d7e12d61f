"""A service that a signal ends, with calls that run and calls that are queued."""

import os
import sys
import time

from parallelize import drain_on_signal, processed, stopping, threaded

_, folder, grace, queued, length = sys.argv
drain_on_signal(grace=float(grace), queued=queued)


def note(name):
    open(os.path.join(folder, name), "w").close()


def work(name):
    note(f"{name} began")
    time.sleep(float(length))
    note(f"{name} {'asked' if stopping() else 'ended'}")


def serve(function, kind):
    function(f"{kind} running")
    for number in range(2):
        function(f"{kind} queued{number}")


serve(processed(work, max_workers=1), "process")
serve(threaded(work, max_workers=1), "thread")
try:
    while not {"process running began", "thread running began"} <= set(
        os.listdir(folder)
    ):
        time.sleep(0.01)
    print("ready", flush=True)
    time.sleep(60)
finally:
    note("finally")
    try:
        threaded(abs)(-1)
    except RuntimeError:
        note("refused")
