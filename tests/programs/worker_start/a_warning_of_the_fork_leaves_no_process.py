import warnings

threading.Thread(target=threading.Event().wait, daemon=True).start()
with executor(1) as ex:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = outcome(ex.submit(abs, -1))
    print(first == 1 or first.startswith("DeprecationWarning: "))
    if first != 1:
        try:
            print(os.waitpid(-1, 0))
        except ChildProcessError:
            pass
    warnings.simplefilter("ignore")
    print(ex.submit(abs, -2).result())
