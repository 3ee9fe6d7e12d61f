already = set(links("self"))
ex = executor(2)
pids = two_workers(ex)
server = ex.submit(os.getppid).result()
loose = [
    (pid, link)
    for pid in (os.getpid(), server, *pids)
    for fd, link in ours(pid).items()
    if not close_on_exec(pid, fd) and not (pid == os.getpid() and fd in already)
]
print(loose, len(ours(pids[0])) >= 2)
ex.shutdown()
