import atexit, sys, time
from parallelize import interpreted

atexit.register(print, "at exit")


@interpreted
def work(x):
    print("begun", flush=True)
    time.sleep(x)


running = work(40)
while not running.running():
    time.sleep(0.01)
raise LookupError("its own")
