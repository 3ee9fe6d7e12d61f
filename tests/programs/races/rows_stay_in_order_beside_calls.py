sys.setswitchinterval(1e-5)


def one(x):
    return x


ex = executor(1)
ex.submit(one, 0).result()
stop = []


def call():
    while not stop:
        f = ex.submit(one, 1)
        f.add_done_callback(lambda _: None)
        f.result()


def submit():
    while not stop:
        ex.submit(one, 2)
        time.sleep(0.0002)


threads = [threading.Thread(target=t) for t in (call, call, submit)]
for t in threads:
    t.start()
wanted = [str(i) for i in range(400)]
end = time.monotonic() + 3
bad = 0
try:
    while time.monotonic() < end and not bad:
        bad += list(ex.map(str, range(400), chunksize=100, timeout=10)) != wanted
except BaseException as error:
    bad = repr(error)
stop.append(1)
for t in threads:
    t.join()
print(bad)
ex.shutdown()
