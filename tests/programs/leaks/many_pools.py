def use():
    with executor(2) as ex:
        assert ex.submit(abs, -1).result() == 1


use()
files, before = open_files(), rss()
for _ in range(COUNT):
    use()
print(nothing_left(files), rss() - before < 4000)
