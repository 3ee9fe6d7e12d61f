from tempfile import mktemp

out = mktemp()


def fork(a, out):
    if os.fork() == 0:
        until(lambda: os.path.exists(out + ".kept"))
        with open(out + ".new", "w") as file:
            file.write(str(sorted(set(a.tolist()))))
        os.rename(out + ".new", out)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)


def keep(a, out):
    open(out + ".kept", "w").close()
    until(lambda: os.path.exists(out))


ex = executor(1)
outcome(ex.submit(fork, np.full(2 << 20, 1, "u1"), out))
until(lambda: not ex._pool.scheduler.workers)
ex.submit(keep, np.full(2 << 20, 9, "u1"), out).result()
print(open(out).read())
os.unlink(out)
os.unlink(out + ".kept")
ex.shutdown()
