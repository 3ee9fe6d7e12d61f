"""Values that are nested more deeply than pickle goes on Python 3.11."""

import sys

DEPTH = 1200


class Node:
    def __init__(self, following):
        self.following = following


class Broken:
    def __reduce__(self):
        raise TypeError("it has none")


lists, dictionaries, nodes, broken = [], {}, None, Broken()
for _ in range(DEPTH):
    lists, dictionaries, nodes = [lists], {"a": dictionaries}, Node(nodes)
    broken = [broken]


def depth_of_lists():
    depth, inside = 0, lists
    while inside:
        depth, inside = depth + 1, inside[0]
    return depth


def depth_of_dictionaries():
    depth, inside = 0, dictionaries
    while inside:
        depth, inside = depth + 1, inside["a"]
    return depth


def depth_of_nodes():
    depth, node = 0, nodes
    while node:
        depth, node = depth + 1, node.following
    return depth


def use_broken():
    inside = broken
    while isinstance(inside, list):
        inside = inside[0]
    return inside.anything


for each in (depth_of_lists, depth_of_dictionaries, depth_of_nodes) * 2:
    check(each)
lists[0][0].append(1)
dictionaries["b"] = 2
nodes.following.following = None
check(depth_of_nodes)
check(lambda: (len(lists[0][0]), dictionaries["b"]))

print(sys.getrecursionlimit())
if METHOD != "fork":
    refused(use_broken, "a __main__.Broken in __main__")
