with executor(2) as ex:
    hold = ex.submit(
        lambda: (
            [
                time.sleep(0.001)
                for _ in iter(lambda: os.path.exists(f"{FOLDER}/gate"), True)
            ]
            and None
        )
    )
    fs = bundle(ex, range(40), waiting=(7,))
    print(
        [f.result() for n, f in enumerate(fs) if n != 7]
        == [expected(n) for n in range(40) if n != 7]
    )
    open(f"{FOLDER}/go", "w").close()
    print(fs[7].result() == expected(7), sorted(begun()) == list(range(40)))
print(nothing_left(files))
