from parallelize import processed

FOLDER = os.environ["FOLDER"]


def note(number, what="begun"):
    with open(f"{FOLDER}/log", "a") as log:
        log.write(f"{number} {what}\n")


def begun():
    with open(f"{FOLDER}/log") as log:
        return [int(l.split()[0]) for l in log]


def work(number, wait=0):
    note(number)
    while wait and not os.path.exists(f"{FOLDER}/go"):
        time.sleep(0.001)
    if number == -1:
        os._exit(3)
    if number == -2:
        raise LookupError(number)
    return [number, float(number), str(number), None, number == 4, 10**30][number % 6]


def expected(number):
    return [number, float(number), str(number), None, number == 4, 10**30][number % 6]


def bundle(ex, numbers, waiting=()):
    """Submit calls while the only worker is busy; return when they are with it."""
    for _ in range(10):
        ex.submit(work, 0, 0).result()  # short: several are sent at once
    gate = ex.submit(
        lambda: (
            [
                time.sleep(0.001)
                for _ in iter(lambda: os.path.exists(f"{FOLDER}/gate"), True)
            ]
            and None
        )
    )
    os.path.exists(f"{FOLDER}/log") and os.remove(f"{FOLDER}/log")
    fs = [ex.submit(work, n, int(n in waiting)) for n in numbers]
    open(f"{FOLDER}/gate", "w").close()
    gate.result()
    return fs


def await_begun(number):
    while True:
        try:
            if number in begun():
                return
        except FileNotFoundError:
            pass
        time.sleep(0.001)


files = open_files()
