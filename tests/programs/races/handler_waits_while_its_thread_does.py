ex = executor(1)
ex.submit(int).result()
f, g = ex.submit(time.sleep, 1), ex.submit(abs, 7)  # one after the other
signal.signal(signal.SIGUSR1, lambda *_: WAIT)
after(0.3, signal.SIGUSR1)
print(outcome(f), outcome(g))
ex.shutdown()
