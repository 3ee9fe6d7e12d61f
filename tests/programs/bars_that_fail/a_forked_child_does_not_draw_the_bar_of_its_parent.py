held = thread_map(same, range(3000), progress=True, chunksize=100)
next(held)
pid = os.fork()
if not pid:
    os.dup2(1, 2)  # what it draws is seen
    sys.exit()
os.waitpid(pid, 0)
held.close()
