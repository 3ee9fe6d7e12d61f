"""Which of these numbers are prime? One loop, and three ways to use every CPU."""

from __future__ import annotations

from math import isqrt
from time import perf_counter

from parallelize import ProcessPoolExecutor, process_map, processed

NUMBERS = [
    112272535095293,
    112582705942171,
    112272535095293,
    115280095190773,
    115797848077099,
    1099726899285419,
]


def is_prime(n: int) -> bool:
    """Try every odd divisor: slow enough to be worth sharing out."""
    if n % 2 == 0:
        return n == 2
    return n > 1 and all(n % divisor for divisor in range(3, isqrt(n) + 1, 2))


# One added line: a call of this one runs in another process.
@processed
def is_prime_elsewhere(n: int) -> bool:
    """Tell whether n is prime."""
    return is_prime(n)


start = perf_counter()
answers = [is_prime(n) for n in NUMBERS]
print(f"plain loop            {perf_counter() - start:6.2f} s")

start = perf_counter()
with ProcessPoolExecutor() as executor:
    from_executor = list(executor.map(is_prime, NUMBERS))
print(f"ProcessPoolExecutor   {perf_counter() - start:6.2f} s")

start = perf_counter()
from_decorator = list(is_prime_elsewhere.map(NUMBERS))
print(f"@processed            {perf_counter() - start:6.2f} s")

start = perf_counter()
from_helper = list(process_map(is_prime, NUMBERS))
print(f"process_map           {perf_counter() - start:6.2f} s")

same = answers == from_executor == from_decorator == from_helper
print("all four agree:", same)
for number, prime in zip(NUMBERS, answers, strict=True):
    print(number, prime)
