"""`socket.share` and `socket.fromshare` of Windows; and nothing that Windows lacks.

A share is the name of a Unix socket, at which the descriptor is handed out once.
"""

import _socket
import _thread
import array
import itertools
import os

RIGHTS = _socket.SCM_RIGHTS
SECONDS = 20  # that a process has to take its share
_count = itertools.count()


def share(sock, pid):
    name = f"\0parallelize-share-{os.getpid()}-{next(_count)}"
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    listener.bind(name)
    listener.listen(1)
    listener.settimeout(SECONDS)
    _thread.start_new_thread(_hand_out, (listener, os.dup(sock.fileno())))
    return name.encode()


def _hand_out(listener, fd):
    try:
        taker, _ = listener._accept()
        peer = _socket.socket(fileno=taker)
        rights = array.array("i", [fd])
        peer.sendmsg([b"x"], [(_socket.SOL_SOCKET, RIGHTS, rights)])
        peer.close()
    except OSError:
        pass  # it has ended
    finally:
        os.close(fd)
        listener.close()


def fromshare(info):
    import socket

    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(info.decode())
        _, ancillary, _, _ = asking.recvmsg(1, socket.CMSG_LEN(4))
    ((_, _, data),) = ancillary
    fds = array.array("i")
    fds.frombytes(data)
    return socket.socket(fileno=fds[0])


def install():
    del _socket.SCM_RIGHTS, _socket.socketpair
    import socket

    socket.fromshare = fromshare
    socket.socket.share = share
