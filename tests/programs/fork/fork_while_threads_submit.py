ex = executor(2)
ex.submit(abs, -1).result()
stop = threading.Event()


def call_on():
    while not stop.is_set():
        wait([ex.submit(abs, -1) for _ in range(20)])


threads = [threading.Thread(target=call_on) for _ in range(3)]
for t in threads:
    t.start()


def work():
    assert ex.submit(abs, -1).result() == 1
    ex.shutdown()


print({in_child(work) for _ in range(10)})
stop.set()
for t in threads:
    t.join()
print(ex.submit(abs, -1).result())
