"""The one loop of every training: a supernet's, a proxy's, a found network's."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from search_space.errors import InputError
from training.checkpoint import load_checkpoint, save_checkpoint
from training.data import Split
from training.progress import Reporter
from training.recipe import Recipe
from training.seeds import derive

Step = Callable[[Tensor, Tensor, int], float]
"""Forward and backward of one batch: images, labels and the number of the step; returns the loss."""

History = list[dict[str, float]]
"""An entry an epoch: its number, mean loss, seconds, and what the caller adds."""


class DivergedError(RuntimeError):
    """The loss is no longer a finite number."""


def fit(
    model: nn.Module,
    step: Step,
    pictures: Split,
    recipe: Recipe,
    *,
    seed: int,
    checkpoint: Path,
    identity: dict[str, Any],
    reporter: Reporter,
    what: str,
    after_epoch: Callable[[nn.Module, History], None] = lambda model, history: None,
) -> tuple[nn.Module, History]:
    """Trains `model` for the recipe's epochs, from the checkpoint's epoch if there is one.

    A killed training that is started again ends with the same weights bit for bit (on CPU with the same number of
    threads): every draw is seeded by (seed, epoch), and the checkpoint of each finished epoch holds all other state.

    Args:
        step: computes gradients into `model`'s parameters.
        identity: plain values that say what is trained; a checkpoint of another training is refused.
        after_epoch: is given the model to use (the average, if there is one) and the history, to whose last entry it
            may add. Called before the checkpoint is written, so again after a kill between the two.

    Returns:
        The model to use and the history, an entry an epoch.

    Raises:
        DivergedError: a loss or a gradient is not finite; names the step.
        InputError: the checkpoint is broken, or that of another training.
    """
    steps_per_epoch = max(1, len(pictures) // recipe.batch_size)
    steps = recipe.epochs * steps_per_epoch
    optimizer = _optimizer(model, recipe)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda done: _rate(done, steps, recipe.warmup))
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema_decay)) if recipe.ema_decay else None
    usable: nn.Module = average.module if average is not None else model
    identity = {**identity, "recipe": asdict(recipe), "seed": seed}
    history: History = []

    state = load_checkpoint(checkpoint)
    if state is not None:
        if state.get("identity") != identity:
            raise InputError(f"{checkpoint}: belongs to another training; use another --out, or remove it")
        try:
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            schedule.load_state_dict(state["schedule"])
            if average is not None:
                average.load_state_dict(state["average"])
            history = state["history"]
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            reason = (str(error).splitlines() or ["?"])[0]
            raise InputError(f"{checkpoint}: does not fit ({reason}); remove it to train from the beginning") from None
    first = len(history)
    if first == recipe.epochs:
        return usable, history

    with reporter.track(what, steps, "steps", first * steps_per_epoch) as advance:
        for epoch in range(first, recipe.epochs):
            torch.manual_seed(derive(seed, "epoch", epoch))
            model.train()
            started = time.monotonic()
            total = 0.0
            order = derive(seed, "order", epoch)
            batches = pictures.batches(recipe.batch_size, seed=order, augmentation=recipe.augmentation)
            for index, (images, labels) in enumerate(batches):
                number = epoch * steps_per_epoch + index
                optimizer.zero_grad()
                loss = step(images, labels, number)
                norm = float(nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm))
                for name, value in (("loss", loss), ("gradient's norm", norm)):
                    if not math.isfinite(value):
                        raise DivergedError(
                            f"{what}: the {name} became {value} at step {number} (epoch {epoch + 1}); the checkpoint "
                            "of the last whole epoch is kept; lower the learning rate"
                        )
                optimizer.step()
                schedule.step()
                if average is not None:
                    average.update_parameters(model)
                total += loss
                advance(f"loss {loss:.3f}")
            seconds = time.monotonic() - started
            history.append({"epoch": epoch + 1, "loss": total / steps_per_epoch, "seconds": seconds})
            after_epoch(usable, history)
            save_checkpoint(
                checkpoint,
                {
                    "identity": identity,
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "schedule": schedule.state_dict(),
                    "average": average.state_dict() if average is not None else None,
                    "history": history,
                },
            )
    return usable, history


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 on a GPU, nothing elsewhere."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=recipe.momentum > 0)


def _rate(done: int, steps: int, warmup: float) -> float:
    """Share of the highest learning rate after `done` steps."""
    rising = warmup * steps
    if done < rising:
        return (done + 1) / (rising + 1)
    return 0.5 * (1 + math.cos(math.pi * (done - rising) / max(1.0, steps - rising)))
