def task(i):
    note(os.getpid())
    HANG


files = open_files()
with executor(1) as ex:
    begun = time.monotonic()
    future = processed(timeout=0.2, executor=ex)(task)(1)
    print(outcome(future))
    seconds = time.monotonic() - begun
    print(0.2 <= seconds < 10 or seconds)
    print(outcome(ex.submit(abs, -1)), len(runs()))
    os.kill(os.getpid(), 0)
    print(os.path.exists(f"/proc/{runs()[0]}"))
print(nothing_left(files))
