import types

half = types.ModuleType("multiprocessing.process")
half.__spec__ = types.SimpleNamespace(_initializing=True)
sys.modules["multiprocessing.process"] = half
with executor(2) as ex:
    if FORM == "call":
        print([outcome(ex.submit(abs, -i)) for i in range(5)])
    else:
        rows = ex.map(abs, range(-4, 1), timeout=10, return_exceptions=True)
        print(sorted(rows, key=str))
    del sys.modules["multiprocessing.process"]
