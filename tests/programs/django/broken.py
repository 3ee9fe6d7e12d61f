"""An app whose `ready` fails in workers."""

import os

import django

from parallelize import processed

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
os.environ["PROGRAM"] = str(os.getpid())
django.setup()

from stock.work import price

print(processed(abs)(-1).result())
try:
    price(1).result()
except Exception as error:
    print(type(error).__name__, *error.__notes__, sep="\n")
