from concurrent.futures import CancelledError

files = open_files()
ex = executor(1)
running = ex.submit(meet, 2)
queued = [ex.submit(abs, -1) for _ in range(5)]
waiting = threading.Barrier(4)


def complete():
    waiting.wait()
    os.write(1, b"completed %d\n" % len(list(as_completed(queued))))


def attend():
    waiting.wait()
    os.write(1, b"waited %d\n" % len(wait(queued).done))


def ask():
    waiting.wait()
    try:
        queued[4].result()
    except CancelledError:
        os.write(1, b"cancelled\n")


threads = [threading.Thread(target=t) for t in (complete, attend, ask)]
for t in threads:
    t.start()
waiting.wait()
while not running.running():
    time.sleep(0.001)
ex.shutdown(wait=False, cancel_futures=True)
for t in threads:
    t.join(10)
open(f"{FOLDER}/main", "w").close()  # lets the first call end
print(outcome(running), nothing_left(files))
