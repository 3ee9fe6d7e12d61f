import atexit

print("of the parent")  # not flushed yet


def work():
    atexit.register(print, "from atexit")
    print("from the task")


with executor(1) as ex:
    ex.submit(work).result()
