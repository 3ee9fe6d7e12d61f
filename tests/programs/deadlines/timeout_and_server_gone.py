def task(i):
    note(i)
    time.sleep(60)


with executor(1) as ex:
    future = processed(timeout=0.5, executor=ex)(task)(1)
    until(1)
    os.kill(ex._pool.scheduler.workers.starter.launcher._pid, 9)
    print(name(future), outcome(ex.submit(abs, -1)), runs())
