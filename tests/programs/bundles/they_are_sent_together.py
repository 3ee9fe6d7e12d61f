with executor(1) as ex:
    fs = bundle(ex, range(50), waiting=(3,))
    await_begun(3)
    (worker,) = ex._pool.scheduler.workers.values()
    print({type(t).__name__ for t in worker.tasks.values()}, fs[3].running())
    open(f"{FOLDER}/go", "w").close()
    print([f.result() for f in fs] == [expected(n) for n in range(50)])
