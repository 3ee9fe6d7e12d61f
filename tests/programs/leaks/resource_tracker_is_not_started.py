def trackers():
    tracker = sys.modules.get("multiprocessing.resource_tracker")
    return tracker is not None and tracker._resource_tracker._fd is not None


files = open_files()
ex = executor(2)
ex.submit(bytes, 5 << 20).result()
print(type(ex.submit(os._exit, 1).exception()).__name__)
print(trackers(), ex.submit(trackers).result(), len(children()))
ex.shutdown()
print(nothing_left(files))
