import sys, os
from parallelize import process_map, thread_map


def same(item):
    return item


def summed():
    total = 0
    for item in thread_map(same, range(3000), progress="größe", chunksize=10):
        total += item
    return total
