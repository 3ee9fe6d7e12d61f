signal.pthread_sigmask(
    signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT, signal.SIGCHLD]
)
ex = executor(1)
pid = ex.submit(os.getpid).result()
victim = ex.submit(hour)
await_begun()
os.kill(pid, signal.SIGTERM)
print(type(victim.exception(10)).__name__, ex.submit(abs, -1).result())
