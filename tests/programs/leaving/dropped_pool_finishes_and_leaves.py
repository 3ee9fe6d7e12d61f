import gc

files = open_files()
ex = executor(1, OPTIONS)
fs = [ex.submit(pow, i, 2) for i in range(5)]
del ex
gc.collect()
print([outcome(f) for f in fs], nothing_left(files))
