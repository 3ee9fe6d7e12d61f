from parallelize.serialize import pickling

sys.setswitchinterval(1e-5)
n = 0


def work(x):
    return n + x


failed = []


def encode():
    for _ in range(20000):
        try:
            pickling.encode_function(work)
        except KeyError as error:
            failed.append(error)


threads = [threading.Thread(target=encode) for _ in range(4)]
for t in threads:
    t.start()
while any(t.is_alive() for t in threads):
    n += 1
    threads[0].join(0.0002)
print(len(failed))
