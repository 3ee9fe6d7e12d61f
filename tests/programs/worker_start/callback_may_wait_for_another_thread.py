def start():
    raise OSError("never")


def callback(future):
    thread = threading.Thread(target=lambda: ex.submit(abs, -1))
    thread.start()
    thread.join(3)
    print("stuck" if thread.is_alive() else "free")


with executor(1, initializer=start) as ex:
    future = ex.submit(abs, -1)
    future.add_done_callback(callback)
    future.exception(10)
