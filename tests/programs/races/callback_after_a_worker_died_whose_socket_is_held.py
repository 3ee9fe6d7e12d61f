def die():
    import ctypes, signal

    libc = ctypes.CDLL(None)
    if libc.fork() == 0:  # holds the worker's socket: its end is not heard there
        libc.sleep(2)
        libc._exit(0)
    time.sleep(0.3)
    os.kill(os.getpid(), signal.SIGKILL)


ex = executor(1)
ex.submit(int).result()
f = ex.submit(die)
said = threading.Event()


def callback(_):
    submitted = threading.Event()

    def other():
        ex.submit(int)
        submitted.set()

    threading.Thread(target=other).start()
    os.write(1, b"%r\n" % submitted.wait(3))
    said.set()


f.add_done_callback(callback)
told = outcome(f)[:10]
said.wait()
print(told)
ex.shutdown()
