with executor(2) as ex:
    futures = [ex.submit(task, i) for i in range(300)]
    others = futures[:20] + futures[21:]
    print(len(wait(others, 5).not_done), futures[20].done())
    open(os.environ["DIR"] + "/go", "w").close()
    print([name(f) for f in futures] == list(range(300)))
print(runs() == list(range(300)))
