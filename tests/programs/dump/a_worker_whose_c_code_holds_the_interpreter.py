with ProcessPoolExecutor(1) as executor:
    future = executor.submit(stuck, sys.argv[1])
    open(sys.argv[1] + "/begun").read()
    text = ""
    while "asked to write" not in text:  # it may not have come to that yet
        out = io.StringIO()
        parallelize.dump(out, timeout=0.3)
        text = out.getvalue()
    print(text, flush=True)
    sys.stdin.readline()
    future.kill()
