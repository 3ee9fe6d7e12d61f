import numpy as np

base = np.arange(60_000, dtype="f8").reshape(200, 300)
read_only = base.copy()
read_only.flags.writeable = False
arrays = [
    np.empty(0),
    base,
    read_only,
    base[::2, ::3],
    np.asfortranarray(base),
    base.T,
    base[:, 5],
    np.array(5.0),
    np.zeros((0, 7)),
    base[::-1],
    np.zeros(9000, dtype=[("a", "i4"), ("b", "f8")]),
    np.array(["x" * 40] * 3000),
    base.astype(">f4"),
    np.array([{"an": "object"}, None], dtype=object),
]
with executor(2) as ex:
    got = [ex.submit(give, a).result(10) for a in arrays]
    got += list(ex.map(give, arrays, chunksize=5))
for before, after in zip(arrays * 2, got, strict=True):
    if not (
        before.dtype == after.dtype
        and before.shape == after.shape
        and np.array_equal(before, after)
    ):
        print(before.dtype, before.shape, before.flags)
print("done")
