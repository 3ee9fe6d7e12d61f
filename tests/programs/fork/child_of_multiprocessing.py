import multiprocessing
from parallelize import processed

remote = processed(abs)
print(remote(-1).result())


def work():
    print(remote(-2).result(), flush=True)


child = multiprocessing.get_context("fork").Process(target=work)
child.start()
child.join(10)
print(child.exitcode, remote(-3).result())
