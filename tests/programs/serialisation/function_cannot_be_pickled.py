def closure():
    lock = threading.Lock()
    return lambda *_: lock


with executor(1) as ex:
    pid = ex.submit(os.getpid).result(10)
    print(outcome(ex.submit(closure())))
    try:
        print(list(ex.map(closure(), [1, 2])))
    except Exception as error:
        print("cannot pickle '_thread.lock' object" in str(error))
    print(survives(ex, pid))
