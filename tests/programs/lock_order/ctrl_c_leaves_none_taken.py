def take():
    with WHICH:
        pass


for _ in range(9):
    interrupted(take, 1 << 40)
step = 1
while interrupted(take, step):
    assert not WHICH._is_owned(), step
    step += 1
assert step > 10
with pools:
    pass
