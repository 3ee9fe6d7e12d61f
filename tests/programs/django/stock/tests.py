from django.test import TransactionTestCase
from stock.models import Item
from stock.work import price


class Prices(TransactionTestCase):
    def test_workers_use_the_database_of_the_test(self):
        one = Item.objects.create(pk=77, name="only in the test", price=700)
        self.assertEqual(price(one.pk).result(), 700)
