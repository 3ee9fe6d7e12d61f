def fails():
    raise ERROR


with executor(1) as ex:
    pid = ex.submit(os.getpid).result(10)
    caught = ex.submit(fails).exception(10)
    print(type(caught).__name__, caught.type_name, caught)
    cause = caught.__cause__
    print(type(cause).__name__, "in fails" in str(cause))
    (row,) = ex.map(lambda _: fails(), [1], return_exceptions=True)
    print(type(row).__name__, row.type_name)
    print(survives(ex, pid))
