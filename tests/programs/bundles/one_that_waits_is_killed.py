with executor(1) as ex:
    fs = bundle(ex, range(40), waiting=(7,))
    await_begun(7)
    print(
        fs[20].kill(), outcome(fs[20]).split(":")[0] in ("TaskKilled", "CancelledError")
    )
    waiting = lambda: sum(task.size for task in list(ex._pool.scheduler.queue))
    while waiting() < 32:
        time.sleep(0.001)  # it is given back
    open(f"{FOLDER}/go", "w").close()
    del fs[20]
    print([f.result() for f in fs] == [expected(n) for n in range(40) if n != 20])
    print(sorted(begun()) == [n for n in range(40) if n != 20])
print(nothing_left(files))
