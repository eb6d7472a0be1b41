"""Check digits of Swedish and Norwegian national numbers, as far as record systems demand them."""

import re

_SE = re.compile(r"[0-9]{12}")
_NO = re.compile(r"[0-9]{11}")
_NO_FIRST = (3, 7, 6, 1, 8, 9, 4, 5, 2, 1)
_NO_SECOND = (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)
_NINE = 9


def is_swedish(number: str) -> bool:
    """Whether twelve digits pass the Luhn test on the last ten."""
    if not _SE.fullmatch(number):
        return False
    total = 0
    for place, digit in enumerate(number[2:]):
        product = int(digit) * (2 if place % 2 == 0 else 1)
        total += product - _NINE if product > _NINE else product
    return total % 10 == 0


def is_norwegian(number: str) -> bool:
    """Whether eleven digits pass both modulo-11 sums; the date is not looked at."""
    if not _NO.fullmatch(number):
        return False
    digits = [int(digit) for digit in number]
    sums = (
        sum(weight * digit for weight, digit in zip(_NO_FIRST, digits, strict=False)),
        sum(weight * digit for weight, digit in zip(_NO_SECOND, digits, strict=True)),
    )
    return all(total % 11 == 0 for total in sums)
