files = open_files()
ex = executor(2)
ex.submit(abs, -1).result()
CLOSING
ex.shutdown()
try:
    ex.submit(abs, -1)
except RuntimeError as error:
    print(error)
del ex
print(nothing_left(files, 8))
