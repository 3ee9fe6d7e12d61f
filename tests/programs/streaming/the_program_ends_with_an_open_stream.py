@DECORATOR
def endless(fd):
    try:
        while True:
            yield 1
    finally:
        os.write(fd, b"closed\n")


stream = endless(1)
if "STATE" != "unread":
    next(stream)
if "STATE" == "held in a ring":
    ring = [stream]
    ring.append(ring)
    del stream
print("end", flush=True)
