def links(pid):
    """What each descriptor of a process is."""
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            pass
    return found


def ours(pid):
    """The sockets and memory files of a process."""
    return {
        fd: link
        for fd, link in links(pid).items()
        if fd > 2 and link.startswith(("socket:", "/memfd:", "pipe:"))
    }


def close_on_exec(pid, fd):
    for line in open(f"/proc/{pid}/fdinfo/{fd}"):
        if line.startswith("flags:"):
            return bool(int(line.split()[1], 8) & 0o2000000)


def two_workers(ex):
    """The pids of two workers, which both live."""
    folder = os.environ["FOLDER"]

    def meet(_):
        open(f"{folder}/{os.getpid()}", "w").close()
        while len(os.listdir(folder)) < 2:
            time.sleep(0.001)
        return os.getpid()

    return list(ex.map(meet, range(2), chunksize=1))
