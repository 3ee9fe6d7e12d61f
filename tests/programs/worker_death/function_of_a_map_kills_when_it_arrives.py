from functools import partial


class Bomb:
    def __setstate__(self, state):
        note("start")
        os._exit(3)

    def __getstate__(self):
        return {1: 1}


def task(bomb, i):
    return i


with executor(2) as ex:
    future = ex.submit(partial(task, Bomb()), 1)
    print(outcome(future)[:11])
    rows = ex.map(partial(task, Bomb()), range(20), timeout=10, return_exceptions=True)
    try:
        print({type(each).__name__ for each in rows})
    except TimeoutError:
        print("never ends, workers so far:", len(runs()) > 50)
        ex.kill_workers()
