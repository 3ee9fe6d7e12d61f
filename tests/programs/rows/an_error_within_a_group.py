from parallelize import ProcessPoolExecutor


class Odd(BaseException):
    pass


errors = [
    ValueError,
    StopIteration,
    OverflowError,
    KeyboardInterrupt,
    SystemExit,
    IndexError,
    GeneratorExit,
    Odd,
]


def task(i):
    note(i)
    if i % 31 == 30:
        raise errors[i // 31 % len(errors)](i)
    return i


with executor(2) as ex:
    rows = list(ex.map(task, range(600), chunksize=150, return_exceptions=True))
for i, each in enumerate(rows):
    if i % 31 != 30:
        assert each == i, (i, each)
    else:
        assert type(each) is errors[i // 31 % len(errors)], each
        assert each.args == (i,), each
        text = str(each.__cause__)
        assert "in task" in text and "rows.py" not in text, text
print(sorted(map(int, runs())) == list(range(600)))
