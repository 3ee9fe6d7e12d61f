class Mine(Exception):
    pass


shared = Mine("one object")


def fail():
    shared.code = 7
    shared.__notes__ = ["a note"]
    raise shared


with executor(1) as ex:
    errors = [f.exception() for f in [ex.submit(fail) for _ in range(3)]]
    print(
        len(set(map(id, errors))),
        {(type(e), str(e), e.code) for e in errors} == {(Mine, "one object", 7)},
    )
    print(errors[0].__notes__, type(errors[0].__cause__).__name__)
    print("in fail" in str(errors[0].__cause__), len({id(e.__cause__) for e in errors}))
