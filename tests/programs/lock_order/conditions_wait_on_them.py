changed, items = threading.Condition(lock(NAME)), []


def give():
    with changed:
        items.append(1)
        changed.notify_all()


with changed, changed:
    threading.Thread(target=give).start()
    assert changed.wait_for(lambda: items, 30)
    assert locks.depth(changed._lock) == 2
    assert not changed.wait(0.01)
assert locks.depth(changed._lock) == 0
