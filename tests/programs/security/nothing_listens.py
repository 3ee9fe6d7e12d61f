def listening():
    found = set()
    for name in ("tcp", "tcp6"):
        for line in list(open(f"/proc/net/{name}"))[1:]:
            if line.split()[3] == "0A":
                found.add(line.split()[9])
    for line in list(open("/proc/net/unix"))[1:]:
        if int(line.split()[3], 16) & 0x10000:
            found.add(line.split()[6])
    return found


def of(pid):
    links = (f"/proc/{pid}/fd/{fd}" for fd in os.listdir(f"/proc/{pid}/fd"))
    return {
        os.readlink(l)[8:-1]
        for l in links
        if os.path.islink(l) and "socket" in os.readlink(l)
    }


before = of(os.getpid()) & listening()
with executor(2) as ex:
    pid, server = ex.submit(os.getpid).result(), ex.submit(os.getppid).result()
    sockets = of(os.getpid()) | of(pid) | of(server)
    named = [
        l.split()[7:]
        for l in list(open("/proc/net/unix"))[1:]
        if l.split()[6] in sockets
    ]
    print(before, sockets & listening(), len(sockets) > 3, [n for n in named if n])
