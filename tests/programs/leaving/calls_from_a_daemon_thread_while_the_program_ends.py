ex = executor(1)
begun = threading.Event()


def call_on():
    while True:
        try:
            ex.submit(abs, -1).result()
        except RuntimeError:
            return
        begun.set()


threading.Thread(target=call_on, daemon=True).start()
begun.wait()
