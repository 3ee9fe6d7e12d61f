ex = executor(2)
ex.submit(abs, -1).result()
pid = os.fork()
if pid == 0:
    os.close(1)
    os.close(2)
    signal.pause()
print(pid, flush=True)
ex.submit(time.sleep, 3600).result()
