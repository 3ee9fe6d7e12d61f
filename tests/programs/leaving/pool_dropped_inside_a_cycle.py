import gc

files = open_files()
for _ in range(3):
    ex = executor(1)
    ex.myself = ex
    f = ex.submit(abs, -1)
    del ex
    gc.collect()
    print(outcome(f))
print(nothing_left(files))
