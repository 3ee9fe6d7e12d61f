with executor(1) as ex:
    assert ex.submit(abs, -1).result(20) == 1
    workers = ex._pool.scheduler.workers
    (worker,) = workers.values()
    server = workers.starter.launcher._pid
    os.kill(server, signal.SIGSTOP)  # so that it does not report the exit
    future = ex.submit(os._exit, 3)
    while not worker.has_hung_up:
        time.sleep(0.005)
    os.kill(server, signal.SIGKILL)
    print(outcome(future)[:10], outcome(ex.submit(abs, -2)))
