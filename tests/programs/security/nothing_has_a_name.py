os.umask(0)
shm = names()
big = bytes(20 << 20)
with executor(2) as ex:
    fs = [ex.submit(bytes.upper, big) for _ in range(4)]
    seen = set()
    while not all(f.done() for f in fs):
        seen |= names() - shm | set(os.listdir(os.environ["TMPDIR"]))
        time.sleep(0.001)
    print(seen, {len(f.result()) for f in fs})
