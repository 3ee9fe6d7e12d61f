import ctypes

libc = ctypes.CDLL(None, use_errno=True)


def mount(source, target, kind, flags, data=None):
    if libc.mount(source, target.encode(), kind, flags, data):
        raise OSError(ctypes.get_errno(), "mount", target)


libc.unshare(0x20000)  # CLONE_NEWNS
mount(b"none", "/", None, 1 << 18 | 1 << 14)  # MS_PRIVATE | MS_REC
