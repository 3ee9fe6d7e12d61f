"""Workers that outlive their current folder."""

import shutil
import tempfile

from parallelize import processed, use

top = os.path.realpath(tempfile.mkdtemp())


def folder(name):
    path = os.path.join(top, name)
    os.makedirs(path)
    return path


def where(_=None):
    return os.getcwd()


def read():
    with open("data") as file:
        return file.read()


async def where_async():
    return os.getcwd()


def stay_in(path):
    os.makedirs(path)
    os.chdir(path)
    shutil.rmtree(path)


pool = executor(1)
with use(pool):
    os.chdir(folder("first"))
    print(processed(where)().result(10) == os.getcwd())
    os.chdir(folder("second"))
    with open("data", "w") as file:
        file.write("found")
    shutil.rmtree(f"{top}/first")
    print(outcome(processed(where)()) == os.getcwd(), outcome(processed(read)()))
    print(set(processed(where).map(range(5))) == {os.getcwd()})

    # The program stands in one that is gone, too: then what is around it.
    os.chdir(folder("third"))
    pool.submit(os.chdir, os.getcwd()).result(10)
    shutil.rmtree(f"{top}/third")
    print(outcome(processed(where)()) in (top, f"{top}/second"))
    print(outcome(processed(where_async)()) in (top, f"{top}/second"))

    # A task has deleted its folder itself.
    os.chdir(top)
    processed(stay_in)(f"{top}/own").result(10)
    print(outcome(processed(where)()) == top)

# One that starts when there is none.
os.chdir(folder("fourth"))
shutil.rmtree(f"{top}/fourth")
with executor(1) as fresh:
    print(os.path.isdir(outcome(fresh.submit(where))))
os.chdir(top)
pool.shutdown()
shutil.rmtree(top)
print("end")
