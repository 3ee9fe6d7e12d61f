from tempfile import mktemp

out = mktemp()


def fork(a, out):
    if os.fork() == 0:
        time.sleep(1.5)
        with open(out, "w") as file:
            file.write(str(sorted(set(a.tolist()))))
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)


def keep(a):
    time.sleep(1.5)


ex = executor(1)
outcome(ex.submit(fork, np.full(2 << 20, 1, "u1"), out))
time.sleep(0.2)
ex.submit(keep, np.full(2 << 20, 9, "u1")).result()
time.sleep(1)
print(open(out).read())
os.unlink(out)
ex.shutdown()
