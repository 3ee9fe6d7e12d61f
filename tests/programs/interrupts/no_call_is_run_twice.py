import tempfile


def run(name, step):
    with open(name, "a") as file:
        file.write(f"{step}\n")


step, more = 0, True
with tempfile.NamedTemporaryFile("r") as file:
    ex = ProcessPoolExecutor(1)
    ex.submit(int, "3").result()
    call = lambda: ex.submit(run, file.name, step)
    count(call)
    while more:
        step += 1
        more = interrupted(call, step)
        ex.submit(int, "3").result(9)
    ex.shutdown()
    runs = file.read().split()
print(step > 10, {each for each in runs if each != "0" and runs.count(each) > 1})
