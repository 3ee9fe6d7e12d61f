del os.memfd_create
os.umask(0)
with executor(2) as ex:
    fs = [ex.submit(abs, -i) for i in range(4)]
    print([f.result() for f in fs], os.listdir(os.environ["TMPDIR"]))
    links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
    modes = [
        os.stat(link).st_mode & 0o777
        for link in links
        if os.path.islink(link) and os.environ["TMPDIR"] in os.readlink(link)
    ]
    print(set(modes) <= {0o600})
