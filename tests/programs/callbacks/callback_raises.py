import logging

logged = []
handler = logging.Handler()
handler.emit = lambda record: logged.append(record.exc_info[0].__name__)
logging.getLogger("parallelize").addHandler(handler)


def bad(f):
    raise ERROR


with executor(2) as ex:
    called = threading.Event()
    f = ex.submit(time.sleep, 0.02)
    f.add_done_callback(bad)
    f.add_done_callback(lambda f: called.set())
    f.add_done_callback(bad)
    others = [ex.submit(abs, -i) for i in range(6)]
    print(called.wait(10), [outcome(o) for o in others], outcome(f))
    print(outcome(ex.submit(abs, -1)), logged)
    f.add_done_callback(bad)  # now it is called here
    print(len(logged))
