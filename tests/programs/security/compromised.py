import socket, struct


def socks():
    """The worker's own sockets: the task socket and the control socket."""
    found = []
    for fd in map(int, os.listdir("/proc/self/fd")):
        try:
            if fd > 2 and os.readlink(f"/proc/self/fd/{fd}").startswith("socket:"):
                found.append(socket.socket(fileno=os.dup(fd)))
        except OSError:
            pass
    return found


def send(data):
    for sock in socks():
        try:
            sock.sendall(data)
        except OSError:
            pass


def frame(kind, id, *parts, count=None, lengths=None, extra=0):
    lengths = lengths or [len(part) for part in parts]
    head = struct.pack(
        "<HHIIQ", kind, len(parts) if count is None else count, extra, 0, id
    )
    return head + struct.pack(f"<{len(lengths)}Q", *lengths) + b"".join(parts)


class Bomb:
    """Pickled, it tells in the program that it was unpickled there."""

    def __reduce__(self):
        return os.write, (1, b"BOOM\n")


def bomb():
    import pickle

    return pickle.dumps(Bomb())
