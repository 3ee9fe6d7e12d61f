import atexit

ex = executor(1)
running = ex.submit(hour, signal.SIGTERM)
queued = [ex.submit(os.write, 1, b"ran") for _ in range(3)]


@atexit.register
def tell():
    print([f.cancelled() for f in queued], type(running.exception(9)).__name__)


await_begun()
raise ValueError("main fails")
