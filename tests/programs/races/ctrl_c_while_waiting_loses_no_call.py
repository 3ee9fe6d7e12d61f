import random

ex = executor(1)
ex.submit(int).result()
signal.signal(signal.SIGALRM, signal.default_int_handler)
told = set()
for _ in range(80):
    f = None
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.001, 0.004))
        while True:
            f = ex.submit(int, "3")
            f.result()
    except (KeyboardInterrupt, RuntimeError):  # threading.Condition raises the other
        if f is not None:
            told.add(outcome(f, 5))
print(told)
ex.shutdown()
