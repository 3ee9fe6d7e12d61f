"""What multiprocessing says of workers, whether the program has loaded it or not."""

if os.environ["LOADED"] == "loaded":
    import multiprocessing


def number():
    time.sleep(0.05)
    import multiprocessing

    process = multiprocessing.current_process()
    return process._identity, process.name, multiprocessing.parent_process().pid


def die():
    os._exit(1)


def in_initializer():
    import multiprocessing

    global mine
    mine = multiprocessing.current_process()._identity


def initialized():
    return mine


with executor(3) as pool:
    told = [f.result(20) for f in [pool.submit(number) for _ in range(30)]]
    print(sorted({identity for identity, _, _ in told}))
    print({parent == os.getpid() for _, _, parent in told})
    print({name.rpartition("-")[2] == str(identity[0]) for identity, name, _ in told})
    print(outcome(pool.submit(die)).partition(":")[0])
    told = [f.result(20) for f in [pool.submit(number) for _ in range(30)]]
    numbers = {identity for identity, _, _ in told}
    print(len(numbers), all(len(each) == 1 and each[0] >= 1 for each in numbers))
with executor(1, initializer=in_initializer) as pool:
    print(pool.submit(initialized).result(10))
print("multiprocessing.resource_tracker" in sys.modules)
