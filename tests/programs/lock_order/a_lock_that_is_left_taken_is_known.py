def take():
    roster.acquire()


def keep():
    with pool:
        told.set()
        go.wait()


told, go = locks.Latch(), locks.Latch()
with pool:
    assert ranked.left() == set()
thread = threading.Thread(target=keep)
thread.start()
told.wait()
assert ranked.left() == set()
go.set()
thread.join()
take()
(found,) = ranked.left()
assert "'roster'" in found and "in take" in found
roster.release()
assert ranked.left() == set()
thread = threading.Thread(target=take)
thread.start()
thread.join()
(found,) = ranked.left()
assert "'roster'" in found and "in take" in found
