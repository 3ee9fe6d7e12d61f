import resource


def limit():
    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * 4096
    resource.setrlimit(resource.RLIMIT_AS, (size + (50 << 20), -1))


ex = executor(1, initializer=limit if HOW == "initializer" else None)
if HOW == "task":
    ex.submit(limit).result()
big = ex.submit(len, bytes(200 << 20))
came = str(outcome(big))
if "failed to map segment" in came:  # of an extension module that does not fit either
    came = "MemoryError"
print(came.split(":")[0], outcome(ex.submit(abs, -1)))
