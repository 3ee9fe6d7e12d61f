"""A module with models beside it: it cannot be imported before django.setup()."""

import logging
import os

from django.db import connection
from stock.models import Item

from parallelize import processed

FACTOR = 1


@processed
def price(pk):
    return FACTOR * Item.objects.get(pk=pk).price


@processed
def item(pk):
    logging.getLogger("stock").info("item %d is asked for", pk)
    return Item.objects.get(pk=pk)


@processed
def workers_pid():
    return os.getpid()


def of_connection(_):
    """Whether it was open before its first use, or in a transaction; then a result."""
    before = connection.connection is not None, connection.in_atomic_block
    return *before, Item.objects.count(), id(connection.connection)
