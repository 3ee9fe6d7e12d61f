def work(i):
    time.sleep(0.05)
    return i


ex = executor(2)
fs = [ex.submit(work, i) for i in range(20)]
fs[0].result()
try:
    os.write(1, b"running\n")
    signal.pause()
except KeyboardInterrupt:
    print([f.result() for f in fs] == list(range(20)), ex.submit(abs, -1).result())
