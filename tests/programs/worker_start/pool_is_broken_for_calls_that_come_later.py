def start():
    note("try")
    if not os.path.exists(os.environ["DIR"] + "/go"):
        raise OSError("not yet")


with executor(2, initializer=start) as ex:
    print(outcome(ex.submit(abs, -1)).endswith("OSError: not yet"))
    open(os.environ["DIR"] + "/go", "w").close()
    import concurrent.futures

    for use in (ex.submit, lambda fn, x: list(ex.map(fn, [x]))):
        try:
            use(abs, -1)
        except concurrent.futures.BrokenExecutor as error:
            print(error)
    tries = len(runs())
print(len(runs()) == tries)
