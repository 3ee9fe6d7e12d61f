ex = executor(1)
running = ex.submit(hour, signal.SIGTERM)
await_begun()
ex.terminate_workers()
threading.Timer(12, os._exit, (99,)).start()  # it would take an hour
ex.shutdown()
print(type(running.exception()).__name__, flush=True)
os._exit(0)
