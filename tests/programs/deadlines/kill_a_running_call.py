def task(i):
    note(i)
    if i == 0:
        time.sleep(60)
    return i


files = open_files()
with executor(1) as ex:
    futures = [ex.submit(task, i) for i in range(50)]
    until(1)
    print(futures[0].kill(), outcome(futures[0]))
    print([outcome(f) for f in futures[1:]] == list(range(1, 50)))
    print(futures[0].kill(), futures[1].kill(), futures[0].cancelled())
print(runs() == list(range(50)), nothing_left(files))
