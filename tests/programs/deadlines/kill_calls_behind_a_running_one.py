with executor(1) as ex:
    futures = start(ex)
    at_once = [f.kill() for f in futures[21:30]]
    (worker,) = ex._pool.scheduler.workers.values()
    while len(worker.tasks) > 1:  # until the rest has been given back
        time.sleep(0.001)
    later = [f.kill() for f in futures[30:39]]
    open(os.environ["DIR"] + "/go", "w").close()
    print(set(at_once), set(later))
    print([name(f) for f in (*futures[:21], futures[39])])
    print({f.cancelled() or name(f) for f in futures[21:39]} <= {True, "TaskKilled"})
print(runs())
