from django.core.management import call_command
from django.core.management.base import BaseCommand
from stock.models import Item


class Command(BaseCommand):
    def handle(self, **options):
        call_command("migrate", run_syncdb=True, verbosity=0)
        for number in range(1, 6):
            Item.objects.create(name=f"item {number}", price=number)
