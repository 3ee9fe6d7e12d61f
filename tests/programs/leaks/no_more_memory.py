import resource

hard = resource.getrlimit(resource.RLIMIT_AS)[1]


def limit(more):
    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * 4096
    resource.setrlimit(resource.RLIMIT_AS, (size + more if more else hard, hard))


def large():
    return bytes(200 << 20)


ex = executor(1)
ex.submit(abs, -1).result()
if WHERE == "worker":
    ex.submit(limit, 100 << 20).result()
else:
    limit(100 << 20)
print(outcome(ex.submit(large)))
print(outcome(ex.submit(abs, -2)))
limit(0)
if WHERE == "worker":
    ex.submit(limit, 0).result()
print(len(ex.submit(large).result()))
