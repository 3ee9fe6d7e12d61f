files = open_files()
ended = threading.Event()
a, b = executor(1), executor(1)
b.submit(abs, -1).result()


def callback(f):
    b.shutdown()
    with executor(1) as c:
        print(c.submit(abs, -2).result())
    ended.set()


a.submit(abs, -1).add_done_callback(callback)
print(ended.wait(10), a.submit(abs, -3).result())
a.shutdown()
print(nothing_left(files))
