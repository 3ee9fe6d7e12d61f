from . import sibling
from parallelize import processed


@processed
def call():
    from . import sibling as again

    return again.value, sibling.value, __package__


print(call().result(30))
