ended = threading.Event()
left = [200]
with executor(2) as ex:

    def more(f):
        left[0] -= f.result()
        if left[0]:
            ex.submit(abs, -1).add_done_callback(more)
        else:
            ended.set()

    ex.submit(abs, -1).add_done_callback(more)
    print(ended.wait(10), left)
