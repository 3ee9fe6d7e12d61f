import gc, weakref


class Thing:
    def work(self):
        return self


with executor(2) as ex:
    ex.submit(abs, -1).result()
    gc.collect()
    gc.disable()
    gone = threading.Event()
    thing = Thing()
    ref = weakref.ref(thing, lambda _: gone.set())
    ex.submit(thing.work)  # the future is dropped
    del thing
    print("argument", gone.wait(10))
    gone.clear()
    thing = Thing()
    ref = weakref.ref(thing, lambda _: gone.set())
    ex.submit(abs, -1).add_done_callback(lambda f, thing=thing: None)
    del thing
    print("callback", gone.wait(10))
    gone.clear()
    result = ex.submit(Thing).result()
    ref = weakref.ref(result, lambda _: gone.set())
    del result
    print("result", gone.wait(10))
