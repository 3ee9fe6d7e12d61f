class Mine(Exception):
    pass


def fails(i):
    error = Mine("text", i)
    error.extra = {"i": i}
    error.add_note("a note")
    raise error from KeyError("before")


with executor(1) as ex:
    errors = [ex.submit(fails, i).exception(10) for i in (1, 1)]
    print(
        type(errors[0]) is Mine,
        errors[0].args,
        errors[0].extra,
        errors[0].__notes__,
        errors[0] is errors[1],
    )
    print("KeyError: 'before'" in str(errors[0].__cause__))
