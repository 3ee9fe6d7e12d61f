print(call(read_setting))
setting = 2
print(call(read_setting), call(lambda: setting), *ex.map(lambda _: setting, "x"))
setting = 1
print(call(read_setting))


def read_setting():
    return "another"


print(call(read_setting))
