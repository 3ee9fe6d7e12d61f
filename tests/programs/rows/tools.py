def forget():
    open(os.environ["RUNS"], "w").close()


KINDS = {
    "int": lambda i: (i - 300) << 50,
    "bool": lambda i: i % 3 == 0,
    "float": lambda i: i / 7 - 40,
    "None": lambda i: None,
    "str": str,
    "large": lambda i: i if i % 10 else 1 << 63,
    "least": lambda i: -(1 << 63),
    "sometimes bool": lambda i: i % 10 == 9 if i % 10 > 7 else i,
    "sometimes None": lambda i: None if i % 50 == 49 else i * 1.5,
    "mixed": lambda i: (i, i / 2, i % 2 == 0, None, str(i), 1 << 70)[i % 6],
}


def shown(results):
    return [f"{type(each).__name__} {each!r}" for each in results]


def differences(results, kind, victim, count):
    """What is not as it must be, if row ``victim`` alone has failed."""
    found = [
        (i, got)
        for i, (got, must) in enumerate(
            zip(shown(results), shown(map(KINDS[kind], range(count))), strict=True)
        )
        if got != must
    ]
    return [(i, got.split()[0]) for i, got in found]
