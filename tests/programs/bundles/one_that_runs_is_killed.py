with executor(1) as ex:
    fs = bundle(ex, range(40), waiting=(7,))
    await_begun(7)
    print(fs[7].kill(), outcome(fs[7]).split(":")[0])
    del fs[7]
    print([f.result() for f in fs] == [expected(n) for n in range(40) if n != 7])
    print(sorted(begun()) == list(range(40)))
print(nothing_left(files))
