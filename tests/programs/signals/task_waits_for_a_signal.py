def waits():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    os.kill(os.getpid(), signal.SIGUSR2)
    return signal.sigwait({signal.SIGUSR2}) == signal.SIGUSR2


def forks():
    pid = os.fork()
    if not pid:
        os._exit(5)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


with executor(1) as ex:
    print(ex.submit(waits).result(10), ex.submit(forks).result(10))
