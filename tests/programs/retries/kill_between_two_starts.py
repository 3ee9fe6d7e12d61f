def blocker(path):
    note(0)
    while not os.path.exists(path):
        time.sleep(0.002)


def fails(i):
    note(i)
    raise ValueError(i)


with executor(1) as ex:
    go = os.environ["RUNS"] + ".go"
    # The single calls take turns with rows: so the row runs between two
    # starts of the call, and holds the only worker.
    future = processed(retries=1000000, executor=ex)(fails)(1)
    rows = ex.map(blocker, [go])
    while 0 not in runs():
        time.sleep(0.002)
    before = len(runs())
    print(future.done(), future.kill())
    open(go, "w").close()
    print(list(rows), name(future) if not future.cancelled() else "TaskKilled")
    print(len(runs()) == before)
