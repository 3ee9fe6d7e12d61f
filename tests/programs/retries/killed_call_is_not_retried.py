def task(i):
    note(i)
    time.sleep(60)


with executor(1) as ex:
    future = processed(retries=5, executor=ex)(task)(1)
    while not runs():
        time.sleep(0.002)
    print(future.kill(), name(future), outcome(ex.submit(abs, -1)), runs())
