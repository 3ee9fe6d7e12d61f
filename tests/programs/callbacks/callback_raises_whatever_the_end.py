import logging

logging.getLogger("parallelize").addHandler(logging.NullHandler())
logging.getLogger("parallelize").propagate = False


def bad(f):
    raise SystemExit


with executor(1) as ex:
    first = ex.submit(time.sleep, 0.05)
    f = ex.submit(*dict(cancel=[abs, -1], fail=[abs, "x"], die=[os._exit, 1])[ENDING])
    f.add_done_callback(bad)
    if ENDING == "cancel":
        print(f.cancel())
    print(outcome(ex.submit(abs, -1)), f.done())
