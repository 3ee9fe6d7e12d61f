threading.Timer(12, lambda: os.kill(os.getpid(), 6)).start()
ex = executor(1)
ex.submit(abs, -1).result()
signal.signal(signal.SIGALRM, lambda *_: ex.shutdown(cancel_futures=True))
signal.setitimer(signal.ITIMER_REAL, 0.05)
fs = []
try:
    while True:
        fs.append(ex.submit(abs, -1))
except RuntimeError as closed:
    error = closed
    print(error)
known = {"1", "CancelledError: "} | {f"RuntimeError: {error}"}  # it came between
print({str(outcome(f)) for f in fs} - known, flush=True)
os._exit(0)
