def hide_shm():
    """Put a /dev without shm in place of /dev, for this program alone."""
    dev = os.environ["DEV"]
    mount(b"none", dev, b"tmpfs", 0)
    for name in ("null", "zero", "random", "urandom"):
        open(f"{dev}/{name}", "w").close()
        mount(f"/dev/{name}".encode(), f"{dev}/{name}", None, 4096)  # MS_BIND
    os.symlink("/proc/self/fd", f"{dev}/fd")
    mount(dev.encode(), "/dev", None, 4096 | 16384)
    assert not os.path.exists("/dev/shm")
