"""A server's own handler stays: it lets the request in progress finish its calls."""

import os
import signal
import time

from parallelize import drain_on_signal, processed, threaded

alive = True


def stop_serving(*_):
    global alive
    alive = False
    print("handler")


signal.signal(signal.SIGTERM, stop_serving)
drain_on_signal(grace=20, queued="drop")

first = processed(pow)(42, 1)
os.kill(os.getpid(), signal.SIGTERM)
while alive:
    time.sleep(0.01)
time.sleep(0.2)
print("in time", first.result(), threaded(abs)(-43).result())
