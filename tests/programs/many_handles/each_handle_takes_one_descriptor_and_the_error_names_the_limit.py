before = open_files()
handles = []
try:
    while True:
        handles.append(share([len(handles)]))
except OSError as error:
    first, text = error.errno, str(error)
import errno

print(first == errno.EMFILE, "200 files" in text, "share()" in text)
del handles[-20:]
print(len(handles) > 200 - before - 20 - 10, open_files() - before == len(handles))
values = [handle.get() for handle in handles]
print(
    values == [[i] for i in range(len(handles))], open_files() - before == len(handles)
)
del handles, values
import gc

gc.collect()
print(open_files() - before)
print(share("x").get())
