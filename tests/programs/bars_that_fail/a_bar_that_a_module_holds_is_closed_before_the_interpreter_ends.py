import tqdm


class Told(tqdm.tqdm):
    def display(self, *args, **options):
        if sys.is_finalizing():
            os.write(1, b"drawn at the end")
        return super().display(*args, **options)


tqdm.tqdm = Told
held = thread_map(same, range(3000), progress=True, chunksize=100)
for _ in range(READ):
    next(held)
