def task(i):
    note(i)
    if i == 0:
        time.sleep(60)
    return i


with executor(1) as ex:
    futures = [ex.submit(task, i) for i in range(30)]
    until(1)
    barrier = threading.Barrier(8)

    def kill():
        barrier.wait()
        futures[0].kill()

    threads = [threading.Thread(target=kill) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    got = [name(f) for f in futures]
print(got[0], got[1:] == list(range(1, 30)), runs() == list(range(30)))
