lock = threading.Lock()


def start(given):
    global seen
    seen = type(given).__name__


with executor(2, initializer=start, initargs=(lock,)) as ex:
    print(outcome(ex.submit(lambda: sys.modules["__main__"].seen)))
