from django.core.management.base import BaseCommand
from stock.models import Item
from stock.work import item, price

from parallelize import processed, threaded


@processed
def price_of(one):
    return one.price


@threaded
def name_of(pk):
    return Item.objects.get(pk=pk).name


class Command(BaseCommand):
    def handle(self, **options):
        items = list(Item.objects.order_by("pk"))
        self.stdout.write(str(sum(price.map(each.pk for each in items))))
        self.stdout.write(str(sum(price_of.map(items))))
        self.stdout.write(item(items[0].pk).result().name)
        self.stdout.write(name_of(items[1].pk).result())
