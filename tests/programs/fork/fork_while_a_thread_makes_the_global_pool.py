import parallelize

remote = parallelize.processed(abs)
remote(-1).result()
parallelize.shutdown()
stop = threading.Event()


def call_on():
    while not stop.is_set():
        remote(-1).result()
        parallelize.shutdown()


thread = threading.Thread(target=call_on)
thread.start()


def work():
    assert remote(-1).result() == 1
    parallelize.shutdown()


print({in_child(work) for _ in range(8)})
stop.set()
thread.join()
