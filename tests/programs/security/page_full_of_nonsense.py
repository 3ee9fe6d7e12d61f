def scribble():
    import gc, mmap

    for thing in gc.get_objects():
        if type(thing).__name__ == "Page" and hasattr(thing, "_map"):
            thing._map[:] = b"\xfe" * len(thing._map)
    os._exit(1)


ex = executor(2)
victim = ex.submit(scribble)
others = [ex.submit(pow, i, 2) for i in range(8)]
print([outcome(f) for f in others])
try:
    victim.result(10)
except Exception as error:
    print(type(error).__name__)
print([outcome(ex.submit(abs, -i)) for i in range(4)])
ex.shutdown()
