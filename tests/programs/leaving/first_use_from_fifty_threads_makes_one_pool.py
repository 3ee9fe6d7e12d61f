import parallelize

remote = parallelize.processed(lambda: os.getppid())  # its pool's server
for _ in range(6):
    barrier, servers = threading.Barrier(50), []

    def first():
        barrier.wait()
        servers.append(remote().result())

    threads = [threading.Thread(target=first) for _ in range(50)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    print(len(servers), len(set(servers)), len(children()))
    parallelize.shutdown()
