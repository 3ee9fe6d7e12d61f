files = open_files()
with executor(2) as ex:
    print(ex.submit(abs, -1).result())

    def reap(*_):
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass

    signal.signal(signal.SIGCHLD, reap)
    print("exit code 3" in outcome(ex.submit(os._exit, 3)))
    print(ex.submit(abs, -1).result())
print(nothing_left(files))
