files = open_files()
for _ in range(5):
    ex = executor(2)
    together, told = threading.Barrier(8), []

    def call(n):
        together.wait()
        told.append(outcome(ex.submit(abs, -n)))

    threads = [threading.Thread(target=call, args=[n]) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == list(range(8)), told
    assert len(ex._successors) == 1
    ex.shutdown()
    assert nothing_left(files) == "nothing left", nothing_left(files)
print("ok")
