with executor(1) as ex:
    pid = ex.submit(os.getpid).result(10)
    folder = os.environ["DIR"]
    with open(folder + "/latecomer.py", "w") as file:
        file.write("import sys\nfrom helper import here\n")
        file.write("def f(x): return x\nclass C: pass\n")
    sys.modules["helper"] = type(sys)("helper")  # a worker has no such file
    sys.modules["helper"].here = None
    sys.path.append(folder)  # the worker has started before
    import latecomer

    print(outcome(ex.submit(latecomer.f, 1)))
    print(outcome(ex.submit(id, latecomer.C())))
    rows = ex.map(latecomer.f, range(3), chunksize=3, return_exceptions=True)
    print([type(each).__name__ for each in rows])
    print(outcome(ex.submit(os.getpid)) == pid)
