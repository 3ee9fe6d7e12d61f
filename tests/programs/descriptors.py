"""What has descriptors, on its way to workers and back."""

import array
import ctypes
import functools
import os
import socket
import sys

from parallelize import ProcessPoolExecutor, processed, share

METHOD = sys.argv[1]


def pool(*args, **kwargs):
    if METHOD == "interpreters":
        from parallelize import InterpreterPoolExecutor

        return InterpreterPoolExecutor(*args, **kwargs)
    return ProcessPoolExecutor(*args, mp_context=METHOD, **kwargs)


class Box:
    def __init__(self, inside):
        self.inside = inside


def say(sock, text=b"said"):
    sock.sendall(text)


def say_in(box):
    box.inside[0]["sock"].sendall(b"boxed")


def send(connection, value):
    connection.send(value)


def receive(connection):
    return connection.recv()


def stream(connection):
    yield from iter(connection.recv, None)


async def send_later(connection):
    connection.send("later")


def pair():
    one, other = socket.socketpair()
    one.sendall(b"made there")
    return other, one


def pipe():
    import multiprocessing

    one, other = multiprocessing.Pipe()
    one.send("made there")
    return other, [one]


def note(*values):
    global noted
    noted = values


def say_noted(text):
    noted[0].sendall(text)


def send_noted(text):
    noted[0].send(text)


def outcome(future):
    try:
        return future.result()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def sockets():
    """Nothing of multiprocessing has been loaded."""
    one, other = socket.socketpair()
    one.settimeout(20)
    with pool(2) as executor:
        executor.submit(say, other).result()
        assert one.recv(10) == b"said"
        executor.submit(say_in, Box([{"sock": other}])).result()
        assert one.recv(10) == b"boxed"
        executor.submit(functools.partial(say, other), b"partial").result()
        assert one.recv(10) == b"partial"
        executor.submit(lambda: other.sendall(b"lambda")).result()
        assert one.recv(10) == b"lambda"
        assert list(executor.map(say, [other] * 3)) == [None] * 3
        assert one.recv(4, socket.MSG_WAITALL) == b"said"
        late = executor.submit(pair)
        results = list(executor.map(lambda _: pair(), range(3)))
        assert [each[0].recv(20) for each in results] == [b"made there"] * 3
    assert late.result()[0].recv(20) == b"made there"
    with pool(2, initializer=note, initargs=(other,)) as executor:
        list(executor.map(say_noted, [b"1", b"2", b"3"], chunksize=1))
    one.recv(8)
    assert other.getsockname() is not None


def connections():
    import multiprocessing

    one, other = multiprocessing.Pipe()
    with pool(2) as executor:
        for value in range(3):
            executor.submit(send, other, value).result()
            assert one.recv() == value
        executor.submit(send, connection=other, value="named").result()
        assert one.recv() == "named"
        one.send("there")
        assert executor.submit(receive, other).result() == "there"
        processed(send_later)(other).result()
        assert one.recv() == "later"
        assert list(executor.map(send, [other] * 3, range(3))) == [None] * 3
        assert sorted(one.recv() for _ in range(3)) == [0, 1, 2]
        late = executor.submit(pipe)
        assert executor.submit(pipe).result()[0].recv() == "made there"
    assert late.result()[0].recv() == "made there"
    with pool(2, initializer=note, initargs=(other,)) as executor:
        list(executor.map(send_noted, range(3), chunksize=1))
    assert sorted(one.recv() for _ in range(3)) == [0, 1, 2]
    for value in (1, 2, None):
        one.send(value)
    assert list(processed(stream)(other)) == [1, 2]


class Registered:
    def __init__(self, value):
        self.value = value


def rebuilt(value):
    made = Registered(value)
    made.was_reduced = True
    return made


def reduce_registered(obj):
    return rebuilt, (obj.value,)


def look(obj):
    return obj, getattr(obj, "was_reduced", False), obj.value


def registered():
    from multiprocessing.reduction import ForkingPickler

    with pool(1) as executor:
        assert executor.submit(look, Registered(1)).result()[1:] == (False, 1)
        ForkingPickler.register(Registered, reduce_registered)
        back, was_reduced, value = executor.submit(look, Registered(2)).result()
        assert (was_reduced, value) == (True, 2)
        assert back.value == 2
        assert list(executor.map(look, [Registered(3)]))[0][1:] == (True, 3)
        assert executor.submit(look, [Registered(4)][0]).result()[1]


def beside():
    one, other = socket.socketpair()
    with pool(1) as executor:
        print("pass its fileno()" in outcome(executor.submit(say, other)))
        rows = executor.map(say, [other], return_exceptions=True)
        print("pass its fileno()" in str(next(rows)))
        print("pass its fileno()" in outcome(executor.submit(pair)))
        executor.submit(os.write, other.fileno(), b"number").result()
    assert one.recv(10) == b"number"


def refused():
    import multiprocessing

    one, other = multiprocessing.Pipe()
    lone, _ = socket.socketpair()
    with pool(1) as executor:
        for value in (
            multiprocessing.Lock(),
            multiprocessing.Queue(),
            multiprocessing.Value("i", 3),
            multiprocessing.RawArray("i", 3),
            multiprocessing.RawValue("i", 3),
        ):
            print(outcome(executor.submit(print, value)).partition(" objects ")[2][:40])
        assert executor.submit(abs, -1).result() == 1
        # What is not shared travels as before.
        number = executor.submit(lambda x: x, ctypes.c_int(5)).result()
        assert number.value == 5
        numbers = executor.submit(lambda x: x, array.array("i", [1, 2])).result()
        assert numbers.tolist() == [1, 2]
    for value in (other, lone):
        try:
            share([value])
        except Exception as error:
            print(type(error).__name__, "descriptor of its own" in str(error))
        tried = processed(retries=2)(receive)(value)
        print("tried again" in outcome(tried))


if __name__ == "__main__":
    globals()[sys.argv[2]]()
    print("done")
