FOLDER = os.environ.get("FOLDER")


def hour(*_):
    """Tell the test that it runs; a moment later it does nothing else."""
    if FOLDER:
        open(f"{FOLDER}/begun", "w").close()
    else:
        os.write(1, b"running\n")
    time.sleep(3600)


def await_begun():
    while not os.listdir(FOLDER):
        time.sleep(0.001)
