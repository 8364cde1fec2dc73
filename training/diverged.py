"""What every loop of a training tells: a number of each epoch, and that a loss is no number any more."""

History = list[dict[str, float]]
"""An entry an epoch: its number, mean loss, seconds, and what the caller adds."""


class DivergedError(RuntimeError):
    """The loss is no longer a finite number."""
