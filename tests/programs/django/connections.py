"""METHOD: the parent has a connection open, within a transaction."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
django.setup()

from django.db import connection, transaction
from stock.models import Item
from stock.work import of_connection

from parallelize import ProcessPoolExecutor

with transaction.atomic():
    Item.objects.count()
    mine = id(connection.connection)
    with ProcessPoolExecutor(2, mp_context="METHOD") as pool:
        for *state, its in pool.map(of_connection, range(6)):
            assert its != mine or "METHOD" != "fork", "the parent's connection"
            print(*state)
    print(connection.in_atomic_block, Item.objects.count())
