def limited():
    import resource, cloudpickle

    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    # The stack of the watcher thread, and what malloc reserves for it.
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + 250_000_000, hard))
    note("start")
