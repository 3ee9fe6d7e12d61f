import os

os.environ["TQDM_MININTERVAL"] = "0"
import sys, threading, tqdm
from parallelize import thread_map

tqdm.tqdm.get_lock()


class Bad:
    n = 0

    def write(self, t):
        Bad.n += 1
        if Bad.n > 3:
            raise OSError("broken")

    def flush(self):
        pass


err = sys.stderr
sys.stderr = Bad()
print(sum(thread_map(abs, range(1000), progress=True)))
sys.stderr = err


def other():
    for _ in tqdm.tqdm(range(3), file=open("/dev/null", "w")):
        pass
    print("other ok")


t = threading.Thread(target=other, daemon=True)
t.start()
t.join(5)
print(sum(thread_map(abs, range(10), progress=True)))
