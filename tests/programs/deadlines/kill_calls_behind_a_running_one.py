with executor(1) as ex:
    futures = start(ex)
    at_once = [f.kill() for f in futures[21:30]]
    time.sleep(0.2)  # by now the rest has been given back
    later = [f.kill() for f in futures[30:39]]
    open(os.environ["DIR"] + "/go", "w").close()
    print(set(at_once), set(later))
    print([name(f) for f in (*futures[:21], futures[39])])
    print({f.cancelled() or name(f) for f in futures[21:39]} <= {True, "TaskKilled"})
print(runs())
