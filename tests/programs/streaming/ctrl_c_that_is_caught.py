@DECORATOR
def slow(fd):
    yield 1
    with open(fd):
        pass
    yield from (2, 3)


import tempfile

path = os.path.join(tempfile.mkdtemp(), "go")
os.mkfifo(path)
stream = slow(path)
try:
    print(next(stream), flush=True)
    next(stream)
except KeyboardInterrupt:
    print("caught", flush=True)
with open(path, "w"):
    pass
print(*stream, flush=True)
shutdown()
