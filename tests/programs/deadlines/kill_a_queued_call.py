def task(i):
    note(i)
    while i == 0 and not os.path.exists(os.environ["DIR"] + "/go"):
        time.sleep(0.002)
    return os.getpid()


with executor(1) as ex:
    first, second, third = [ex.submit(task, i) for i in range(3)]
    until(1)
    print(second.kill(), second.cancelled())
    open(os.environ["DIR"] + "/go", "w").close()
    print(first.result(10) == third.result(10), runs())
