from concurrent.futures import TimeoutError

with executor(1) as ex:
    f = ex.submit(time.sleep, 0.2)
    print(len(wait([f], 0.01).not_done))
    try:
        list(as_completed([f], 0.01))
    except TimeoutError:
        print("timeout")
    try:
        f.result(0.01)
    except TimeoutError:
        print("timeout")
    print(outcome(f), outcome(ex.submit(abs, -1)))
