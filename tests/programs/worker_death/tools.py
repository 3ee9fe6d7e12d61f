def engine():
    """The worker's own object, to provoke what no task does by accident."""
    import gc
    from parallelize.process.worker.main import WorkerProcess

    return next(each for each in gc.get_objects() if type(each) is WorkerProcess)


def kill_me():
    os.kill(os.getpid(), 9)
