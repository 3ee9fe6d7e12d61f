@DECORATOR
def stuck():
    yield 1
    time.sleep(60)


for item in stuck():
    print(item, flush=True)
