import multiprocessing.forkserver, sys

sys.path.insert(0, FOLDER)
multiprocessing.set_forkserver_preload(["heavy", "no_such_module"])
from parallelize import ProcessPoolExecutor


def where():
    import heavy, os

    return heavy.PID == os.getppid()


with ProcessPoolExecutor(1, mp_context="forkserver") as executor:
    print(executor.submit(where).result())
