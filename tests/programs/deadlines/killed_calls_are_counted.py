import random

random.seed(4)


def task(i):
    note(i)
    time.sleep(0.002)
    return i


with executor(2) as ex:
    futures = [ex.submit(task, i) for i in range(300)]
    killed = set()
    for i in random.sample(range(300), 60):
        if futures[i].kill():
            killed.add(i)
        time.sleep(0.001)
    wait(futures, 20)
ended = [i for i, f in enumerate(futures) if not f.cancelled() and not f.exception()]
print(all(futures[i].result() == i for i in ended))
rest = set(range(300)) - set(ended)
print(rest <= killed, len(runs()) == len(set(runs())), set(ended) <= set(runs()))
