files = open_files()
with executor(2) as ex:
    before = [ex.submit(pow, i, 2) for i in range(3)]
    victim = ex.submit(lambda: CALL)
    after = [ex.submit(pow, i, 2) for i in range(4)]
    print([outcome(f) for f in before + after])
    print(outcome(victim))
    error = victim.exception()
    print(error.task, error.pid != os.getpid(), error.pid > 1)
    print(outcome(ex.submit(abs, -1)))
print(nothing_left(files))
