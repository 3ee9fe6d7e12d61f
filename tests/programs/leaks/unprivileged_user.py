import ctypes, resource

libc = ctypes.CDLL(None, use_errno=True)
hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]


def become_limited():
    """No limit holds for root: be another user, with root's files."""
    might = [21, 24]  # CAP_SYS_ADMIN, CAP_SYS_RESOURCE
    for capability in might:
        libc.prctl(24, capability, 0, 0, 0)
    os.setresuid(1_000_000 + os.getpid(), 0, 0)
    head = (ctypes.c_uint32 * 2)(0x20080522, 0)
    sets = (ctypes.c_uint32 * 6)()
    libc.capget(head, sets)
    for capability in might:
        for i in range(3):
            sets[i] &= ~(1 << capability)
    assert libc.capset(head, sets) == 0


def allow(count):
    resource.setrlimit(resource.RLIMIT_NPROC, (count, hard))


become_limited()
