def task(value, *, key):
    return value, key


wrong = []


def submit(number):
    values = [
        ([number, i], {"k": (i, number), "b": bytes(i % 7 * 10_000)}) for i in range(60)
    ]
    futures = [ex.submit(task, v, key=k) for v, k in values]
    wrong.extend(v for v, f in zip(values, futures) if f.result(20) != v)
    rows = [[number, i] for i in range(100)]
    wrong.extend(a for a, b in zip(rows, ex.map(give, rows)) if a != b)


with executor(2) as ex:
    threads = [threading.Thread(target=submit, args=(n,)) for n in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
print(wrong)
