"""Settings without a module."""

import pathlib
import sys

import django
from django.conf import settings

here = pathlib.Path(__file__).parent
settings.configure(
    INSTALLED_APPS=["stock"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": here / "shop.sqlite3",
        }
    },
    GREETING="hello",
)
django.setup()

from stock.work import price

from parallelize import processed


@processed
def greeting():
    return settings.GREETING


print(sum(price.map(range(1, 6))), greeting().result())
