"""Takes from Linux what macOS or Windows lacks; Python runs this file at each start.

It does so where this folder is on PYTHONPATH, and ``SYSTEM`` is "darwin" or "win32": in
the tests, and in the servers, workers and programs that they start. The library has no
switch for it: the text of its modules is changed as they are loaded, so that it meets
another system, while the standard library stays what it is.

What Windows has and Linux lacks is imitated: `socket.share`, and memory with a name.
"""

import ast
import importlib.machinery
import os
import select

SYSTEM = os.environ.get("SYSTEM", "")

#: What neither of the two has.
LINUX = {
    os: "eventfd memfd_create pidfd_open pipe2 posix_fallocate sched_getaffinity",
    select: "epoll",
}
MODULES_OF_UNIX = {"fcntl", "grp", "pwd", "resource", "termios"}
SIGNALS_OF_UNIX = "SIGALRM SIGCONT SIGUSR1 SIGUSR2 SIGURG SIGCHLD SIGHUP SIGQUIT"


def remove(module, names):
    for name in names.split():
        vars(module).pop(name, None)


class Elsewhere(ast.NodeTransformer):
    """The text of a module as another system sees it."""

    def visit_Attribute(self, node):
        if ast.unparse(node) == "sys.platform":
            return ast.copy_location(ast.Constant(SYSTEM), node)
        if SYSTEM == "win32" and node.attr in {"recvmsg", "sendmsg", "sysconf"}:
            node.attr = f"absent_{node.attr}"
        return self.generic_visit(node)

    def visit_Call(self, node):
        # The library's sockets are not those of the module `socket`.
        if ast.unparse(node.func) == "sock.share":
            imported = ast.parse("__import__('socket_sharing').share", mode="eval")
            node.func, node.args = imported.body, [node.func.value, *node.args]
        return self.generic_visit(node)

    def visit_Constant(self, node):
        if isinstance(node.value, str) and node.value.startswith("/proc"):
            return ast.copy_location(ast.Constant("/absent" + node.value), node)
        if SYSTEM == "win32" and node.value in {"/dev/fd", "SIGKILL"}:
            return ast.copy_location(ast.Constant("/absent"), node)
        return node

    def visit_Import(self, node):
        for alias in node.names:
            if SYSTEM == "win32" and alias.name in MODULES_OF_UNIX:
                alias.asname = alias.asname or alias.name
                alias.name = f"absent_{alias.name}"
        return node


def load_as_elsewhere():
    loader = importlib.machinery.SourceFileLoader
    usual = loader.get_code
    marks = [b"sys.platform", b'"/proc']
    if SYSTEM == "win32":
        marks += [b"/dev/fd", b"SIGKILL", b"sendmsg", b"recvmsg", b"sysconf"]
        marks += [f"import {name}".encode() for name in MODULES_OF_UNIX]

    def get_code(self, fullname):
        if not fullname.startswith("parallelize."):
            return usual(self, fullname)
        path = self.get_filename(fullname)
        source = self.get_data(path)
        if not any(mark in source for mark in marks):
            return usual(self, fullname)
        tree = ast.fix_missing_locations(Elsewhere().visit(ast.parse(source)))
        return compile(tree, path, "exec", dont_inherit=True)

    loader.get_code = get_code


def become_windows():
    import _signal
    import mmap

    import socket_sharing

    remove(os, "fork forkpty register_at_fork getloadavg sched_yield")
    remove(select, "poll")
    remove(_signal, SIGNALS_OF_UNIX)
    remove(_signal, "pthread_kill pthread_sigmask setitimer pidfd_send_signal sigwait")
    os.waitstatus_to_exitcode = exit_code
    socket_sharing.install()
    mmap.mmap = with_names(mmap.mmap)


def exit_code(status):
    """Windows multiplies the codes of processes, which have 32 bits."""
    code = status >> 8
    return code - (1 << 32) if code >= 1 << 31 else code


def with_names(usual):
    """Return `mmap.mmap` with memory that has a name, for two processes."""

    class Mmap(usual):
        def __new__(cls, fileno, length, *args, tagname=None, **options):
            if tagname is None:
                return usual.__new__(cls, fileno, length, *args, **options)
            path = f"/dev/shm/{tagname}"
            fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                if os.fstat(fd).st_size:
                    os.unlink(path)  # it is the second one
                os.ftruncate(fd, length)
                return usual.__new__(cls, fd, length)
            finally:
                os.close(fd)

    return Mmap


if SYSTEM in {"darwin", "win32"}:
    for module, names in LINUX.items():
        remove(module, names)
    os.process_cpu_count = os.cpu_count  # it would ask for what is removed
    load_as_elsewhere()
    if SYSTEM == "win32":
        become_windows()
