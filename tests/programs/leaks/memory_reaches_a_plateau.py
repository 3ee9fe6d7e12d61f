ex = executor(1)
pid = ex.submit(os.getpid).result()
sizes = []
for _ in range(4):
    for f in [ex.submit(abs, -i) for i in range(4000)]:
        f.result()
    del f
    for _ in ex.map(abs, range(4000)):
        pass
    sizes.append((rss(), rss(pid)))
print([last - second < 2000 for second, last in zip(sizes[1], sizes[3])], sizes)
