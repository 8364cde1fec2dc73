"""The loop of trainings by a method that takes its own steps (`training.methods.base.Practice`)."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from foundation import distributed
from foundation.errors import InputError, first_line
from foundation.progress import Reporter
from foundation.seeds import derive
from training.checkpoint import latest_checkpoint, save_checkpoint
from training.diverged import DivergedError, History
from training.methods.base import Practice


def practised(
    method: Practice,
    epochs: int,
    *,
    seed: int,
    checkpoint: Path,
    identity: dict[str, Any],
    reporter: Reporter,
    what: str,
    after_epoch: Callable[[nn.Module, History], str | None] = lambda model, history: None,
    until: int | None = None,
) -> tuple[nn.Module, History]:
    """Trains the method's model for so many epochs, from the checkpoint's epoch if there is one.

    Arguments and errors are those of `training.loop.fit`, and so is what a killed training comes to: every epoch begins
    anew by draws of (seed, epoch), and the checkpoint holds all other state. By one process.
    """
    if distributed.world() > 1:
        raise InputError(f"{what}: {distributed.world()} processes cannot share a training by episodes; start one")
    identity = {**identity, "epochs": epochs, "seed": seed}
    history: History = []
    state = latest_checkpoint(checkpoint, reporter.say)
    if state is not None:
        if state.get("identity") != identity:
            raise InputError(f"{checkpoint}: belongs to another training; use another `out`, or remove it")
        try:
            method.model.load_state_dict(state["model"])
            method.load_state_dict(state["method"])
            history = state["history"]
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            reason = first_line(error)
            raise InputError(f"{checkpoint}: does not fit ({reason}); remove it to train from the beginning") from None
    first, last = len(history), epochs if until is None else min(until, epochs)
    if first >= last:
        return method.evaluated(), history
    judged = ""
    with reporter.track(what, last * method.steps, method.unit, first * method.steps) as advance:

        def tell(note: str) -> None:
            advance(beside_bar(judged, note))

        for epoch in range(first, last):
            torch.manual_seed(derive(seed, "epoch", epoch))
            np.random.seed(derive(seed, "epoch", epoch) % 2**32)  # stable-baselines3 shuffles by it
            started = time.monotonic()
            try:
                told = method.practise(epoch, seed, tell)
                for name, value in told.items():
                    if not math.isfinite(value):
                        raise _diverged(what, name, value, epoch)
                history.append({"epoch": epoch + 1, **told, "seconds": time.monotonic() - started})
                judged = after_epoch(method.evaluated(), history) or judged
            except (ValueError, RuntimeError) as error:  # torch draws no action by what is no number
                if isinstance(error, DivergedError) or all(one.isfinite().all() for one in method.model.parameters()):
                    raise
                raise _diverged(what, "network", math.nan, epoch) from None
            save_checkpoint(
                checkpoint,
                {
                    "identity": identity,
                    "processes": 1,
                    "model": method.model.state_dict(),
                    "method": method.state_dict(),
                    "history": history,
                },
            )
    return method.evaluated(), history


def _diverged(what: str, name: str, value: float, epoch: int) -> DivergedError:
    return DivergedError(
        f"{what}: the {name} became {value} in epoch {epoch + 1}; the checkpoint of the last whole epoch is kept; "
        "lower the learning rate, with another `out`"
    )


def beside_bar(judged: str, note: str) -> str:
    """What the last judged epoch came to, and what the step did."""
    return ", ".join(part for part in (judged, note) if part)
