"""Which arms of a benchmark a command line names."""

import argparse
from collections.abc import Callable, Collection


def some_of(known: Collection[str]) -> Callable[[str], tuple[str, ...]]:
    """Reads names with commas between, each once. Raises argparse's error for one that is not known."""

    def read(text: str) -> tuple[str, ...]:
        chosen = tuple(dict.fromkeys(text.split(",")))
        for name in chosen:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name or 'nothing'} is no arm; expected any of {','.join(known)}")
        return chosen

    return read
