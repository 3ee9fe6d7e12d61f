from parallelize.process.memory import views

sys.setswitchinterval(1e-6)
fd = os.memfd_create("x")
os.ftruncate(fd, 1 << 16)
mapped = views._Mapped(fd, with_others=False)
kept = [views._Lease(1, mapped, lambda r: None) for _ in range(60)]
stop = []


def come():
    some = []
    while not stop:
        some.append(views._Lease(1, mapped, lambda r: None))
        if len(some) > 50:
            some.clear()


threads = [threading.Thread(target=come) for _ in range(2)]
for t in threads:
    t.start()
views._Lease.keep_from_child = lambda self: None
end = time.monotonic() + 3
failed = 0
while time.monotonic() < end:
    try:
        views._before_fork()
    except RuntimeError:
        failed += 1
    finally:
        views._forking.release()
stop.append(1)
for t in threads:
    t.join()
print(failed)
