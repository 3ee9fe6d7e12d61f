import gc, weakref


class Thing:
    def fail(self, *_):
        raise ValueError


with executor(2) as ex:
    ex.submit(abs, -1).result()
    gc.collect()
    gc.disable()
    argument = Thing()
    seen = [weakref.ref(argument)]
    futures = [ex.submit(argument.fail, argument) for _ in range(1000)]
    del argument
    wait(futures)

    def read():
        local = Thing()
        seen.append(weakref.ref(local))
        try:
            futures[-1].result()
        except ValueError:
            pass
        seen.append(weakref.ref(futures.pop()))

    while futures:
        read()
    idle = ex.submit(abs, -1).result()  # the dispatcher is past the last one
    print(len(seen), sum(ref() is not None for ref in seen))
