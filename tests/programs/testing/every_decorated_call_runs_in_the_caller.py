@pytest.mark.parametrize("decorate", DECORATORS)
def test_here(parallelize_serial, decorate):
    seen = []
    function = decorate(lambda: seen.append(here()))
    function().result()
    list(decorate(lambda _: seen.append(here())).map([1]))
    assert seen == [here()] * 2


def test_helpers(parallelize_serial):
    assert list(process_map(lambda _: here(), [1], max_workers=2)) == [here()]


def test_other_threads(parallelize_serial):
    seen = []

    def call():
        seen.append(threaded(here)().result() == here())

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert seen == [True]


@threaded
async def coroutine():
    return here()


def test_coroutines(parallelize_serial):
    assert coroutine().result() == here()


def test_without_it_nothing_is_changed():
    for decorate in DECORATORS:
        if decorate is not interpreted:
            assert decorate(here)().result() != here() or "process" in str(decorate)
    assert threaded(here)().result() != here()
    assert parallelized(pool)(here)().result() != here()
