def task(i):
    note(i)
    if i % 3 == 0:
        os._exit(0)
    if i % 3 == 1:
        time.sleep(60)
    raise OSError


warm = {"initializer": __import__, "initargs": ("cloudpickle",)}
with executor(4, **warm) as ex:
    call = processed(timeout=0.4, executor=ex)(task)
    got = [name(f) for f in [call(i) for i in range(6)]]
    rows = call.map(range(6, 12), return_exceptions=True)
    got += [type(row).__name__ for row in rows]
print(got == ["WorkerDied", "TaskTimeout", "OSError"] * 4)
print(runs() == list(range(12)))
