folder = os.environ["DIR"]
sys.path.append(folder)


def write(text):
    with open(folder + "/versioned.py", "w") as file:
        file.write(text)


write("def old(): return 1\n")
sys.dont_write_bytecode = True
with executor(1) as ex:
    import versioned

    print(outcome(ex.submit(versioned.old)))  # the worker has the old one
    write("def old(): return 2\ndef new(): return 3\n")
    import importlib

    importlib.invalidate_caches()
    versioned = importlib.reload(versioned)
    print(outcome(ex.submit(versioned.new)))
    print(outcome(ex.submit(abs, -1)))
