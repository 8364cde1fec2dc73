"""How long a training is, by how many pictures there are: a recipe that was made for so many, planned for fewer.

An epoch of few pictures is few steps, so a recipe's epochs alone would leave small data untrained. Steps are what
is planned: they follow the number of pictures, but slower.
"""

import math
from collections.abc import Collection
from dataclasses import replace
from typing import TypeVar

from training.recipe import Recipe

_Recipe = TypeVar("_Recipe", bound=Recipe)

GROWTH = 0.25
"""Steps grow with this power of the number of pictures: of a sixteenth of the pictures they are a half."""
FEWEST_STEPS = 600
MOST_EPOCHS = 400
STEPS_AN_EPOCH = 8
"""A batch is halved until an epoch has as many steps, or it is of `SMALLEST_BATCH`."""
SMALLEST_BATCH = 16
"""Pictures whose batch statistics are still sound."""
RATE = 0.5
"""The learning rate follows the batch with this power."""
ACCURACY, CLOSE = 0.9, 1.5
"""Networks are told apart badly where the standard error of this accuracy is more than so many points."""
PLANNED = ("epochs", "batch_size", "learning_rate", "ema_decay")
"""The settings that depend on the number of pictures."""


def epoch_steps(pictures: int, batch_size: int) -> int:
    """Steps of an epoch: an incomplete last batch is left out, unless there is no other."""
    return max(1, pictures // batch_size)


def planned(recipe: _Recipe, own: int, pictures: int, given: Collection[str] = ()) -> _Recipe:
    """The recipe for so many training pictures.

    Of as many pictures as the recipe was made for, or more, it stays as it is. Of fewer the batch is smaller, with a
    lower learning rate, the epochs are more, and a moving average forgets in the same share of the steps.

    Args:
        own: training pictures that the recipe was made for.
        given: fields that stay as they are; with `epochs` and `batch_size` all do.
    """
    if pictures >= own or {"epochs", "batch_size"} <= set(given):
        return recipe
    batch = recipe.batch_size if "batch_size" in given else _batch(recipe.batch_size, pictures)
    an_epoch = epoch_steps(pictures, batch)
    theirs = recipe.epochs * epoch_steps(own, recipe.batch_size)
    fitted = replace(recipe, batch_size=batch)
    if "epochs" not in given:
        steps = max(min(FEWEST_STEPS, theirs), theirs * (pictures / own) ** GROWTH)
        fitted = fitted.lasting(min(max(MOST_EPOCHS, recipe.epochs), max(recipe.epochs, round(steps / an_epoch))))
    if "learning_rate" not in given:
        fitted = replace(fitted, learning_rate=recipe.learning_rate * (batch / recipe.batch_size) ** RATE)
    if recipe.ema_decay and "ema_decay" not in given:
        forgotten = (1 - recipe.ema_decay) * theirs / (fitted.epochs * an_epoch)
        fitted = replace(fitted, ema_decay=min(recipe.ema_decay, max(0.9, 1 - forgotten)))
    return fitted


def told(recipe: Recipe, own: int, fitted: Recipe, pictures: int, flags: str) -> str | None:
    """A line on what `planned` made of the recipe; None if it stayed as it was.

    Args:
        flags: what overrides it.
    """
    if fitted == recipe:
        return None
    an_epoch = epoch_steps(pictures, fitted.batch_size)
    given = fitted.epochs == recipe.epochs  # then the recipe's are not the usual ones, but the user's
    usual = f"batches of {recipe.batch_size}" if given else f"{recipe.epochs} epochs"
    return (
        f"{pictures} training pictures: {fitted.epochs} epochs of {an_epoch} step{'s' if an_epoch > 1 else ''}, "
        f"{fitted.epochs * an_epoch} in all, "
        f"of {min(pictures, fitted.batch_size)} pictures each (planned: the usual {usual} are for "
        f"{own:,}); override with {flags}"
    )


def _batch(batch: int, pictures: int) -> int:
    while batch >= 2 * SMALLEST_BATCH and pictures < STEPS_AN_EPOCH * batch:
        batch //= 2
    return batch


def told_apart(pictures: int, what: str) -> str | None:
    """A line where so few pictures tell networks apart badly; None where they are many."""
    error = 100 * math.sqrt(ACCURACY * (1 - ACCURACY) / max(1, pictures))
    if error <= CLOSE:
        return None
    return (
        f"{pictures} {what} pictures are few: an accuracy of {100 * ACCURACY:.0f} % is known to ± {error:.1f} points "
        f"(standard error), so networks less than {2 * error:.0f} points apart are a draw"
    )
