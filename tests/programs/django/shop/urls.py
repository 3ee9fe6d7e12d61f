from django.http import JsonResponse
from django.urls import path

from stock.models import Item
from stock.work import price, workers_pid


def total(request):
    prices = price.map(Item.objects.values_list("pk", flat=True))
    return JsonResponse({"total": sum(prices), "worker": workers_pid().result()})


urlpatterns = [path("total", total)]
