from parallelize import share
import gc


def same(h):
    return h


ex = executor(1)
f = done(ex.submit(same, share(np.arange(3))))
done(ex.submit(int))
gc.collect()
h = f.result()
got = []
t = threading.Thread(target=lambda: got.append(h.get().tolist()), daemon=True)
t.start()
t.join(3)
print(got)
ex.shutdown()
