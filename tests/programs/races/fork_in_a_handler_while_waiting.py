ex = executor(1)
ex.submit(int).result()
f = ex.submit(time.sleep, 1)
pids = []
signal.signal(signal.SIGUSR1, lambda *_: pids.append(os.fork()))
after(0.3, signal.SIGUSR1)
came = outcome(f)
if pids == [0]:
    print(came, flush=True)
    os._exit(0)
os.waitpid(pids[0], 0)
print(came)
ex.shutdown()
