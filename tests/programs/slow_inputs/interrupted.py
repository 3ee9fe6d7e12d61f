import os
import signal
import threading

next(double.map(waiting()))
results = double.map(waiting(longest=1000))
read = [next(results) for _ in range(3)]
threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    next(results)
except KeyboardInterrupt:
    print("interrupted", read)
