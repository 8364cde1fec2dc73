"""Seeds derived from what a random draw is for, never from how far a process has come."""

import hashlib


def derive(*purpose: int | str) -> int:
    """A seed of 63 bits from integers and names, e.g. `derive(run_seed, "order", epoch)`."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in purpose)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1
