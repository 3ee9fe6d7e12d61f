def standing():
    return [
        os.readlink(f"/proc/self/fd/{fd}")
        for fd in range(3)
        if os.path.exists(f"/proc/self/fd/{fd}")
    ]


out = os.dup(1)
for fd in range(3):
    os.close(fd)
ex = executor(1)
value, links = ex.submit(abs, -1).result(10), ex.submit(standing).result(10)
ex.shutdown()
os.write(out, f"{value} {any('socket' in link for link in links)}".encode())
os._exit(0)
