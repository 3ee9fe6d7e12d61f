def looks(frame):
    return frame.f_code.co_filename == ranked.__file__


def take():
    with WHICH:
        pass


count(take)
step = 1
while interrupted(take, step):
    assert not WHICH._is_owned(), step
    step += 1
assert step > 10
with pools:
    pass
