"""A worker has started before Django was set up; it is then asked for a model."""

import os

import django

from parallelize import ProcessPoolExecutor

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
with ProcessPoolExecutor(1) as pool:
    print(pool.submit(abs, -1).result())
    django.setup()
    from stock.work import price

    try:
        pool.submit(price.__wrapped__, 1).result()
    except Exception as error:
        print(type(error).__name__, *error.__notes__, sep="\n")

with ProcessPoolExecutor(1, initializer=django.setup) as pool:
    print(pool.submit(price.__wrapped__, 1).result())
