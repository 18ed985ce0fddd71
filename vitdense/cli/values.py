"""What the values of options are: numbers, names, a precision; others are refused by argparse."""

import argparse
import math


def names(text: str) -> list[str]:
    """Different names with commas between."""
    found = [name.strip() for name in text.split(',')]
    if not all(found) or len({*found}) < len(found):
        raise argparse.ArgumentTypeError(f'expected different names with commas between, got {text}')
    return found


def positive(text: str) -> int:
    """A whole number from 1."""
    return _integer(text, 1)


def not_negative(text: str) -> int:
    """A whole number from 0."""
    return _integer(text, 0)


def positive_number(text: str) -> float:
    """A number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f'expected a number above 0, got {text}')
    return number


def _integer(text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f'expected a whole number from {least}, got {text}')
    return int(text)


def precision(text: str) -> str:
    """Of `--amp`."""
    if text not in ('auto', 'bfloat16', 'float16'):
        raise argparse.ArgumentTypeError(
            f'expected bfloat16 or float16, got {text}; the config comes before: CONFIG --amp'
        )
    return text
