ex = executor(1)
fs = bundle(ex, range(40), waiting=(7,))
await_begun(7)
waiting = lambda: sum(task.size for task in list(ex._pool.scheduler.queue))
while waiting() < 32:
    time.sleep(0.001)  # they are given back
ex.shutdown(wait=False, cancel_futures=True)
print([f.result() for f in fs[:7]] == [expected(n) for n in range(7)])
print({f.cancelled() for f in fs[8:]})
open(f"{FOLDER}/go", "w").close()
print(outcome(fs[7]) == expected(7), nothing_left(files))
