import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
django.setup()

from stock.models import Item
from stock.work import item, price

from parallelize import processed


@processed
def here(pk):
    return Item.objects.get(pk=pk).name


print(sum(price.map(range(1, 6))))
print(here(2).result(), item(3).result().name)
