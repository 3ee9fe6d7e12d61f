def task(i):
    note(i)
    if i == 20:
        STOP
    else:
        OTHERS
    return i


def start(ex):
    futures = [ex.submit(task, i) for i in range(40)]
    while 20 not in runs():
        time.sleep(0.001)
    return futures
