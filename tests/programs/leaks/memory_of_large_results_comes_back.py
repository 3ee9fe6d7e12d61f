ex = executor(1)
ex.submit(bytes, 1).result()
before = rss()
for _ in range(5):
    assert len(ex.submit(bytes, 60 << 20).result()) == 60 << 20
assert ex.submit(abs, -1).result() == 1
print(rss() - before < 150_000)
