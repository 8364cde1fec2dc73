"""The one loop of every training by pictures: a supernet's, a proxy's, a found network's."""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from foundation import distributed
from foundation.errors import InputError, first_line
from foundation.files import write_json
from foundation.progress import Reporter
from foundation.seeds import derive
from search_space.architecture import Architecture
from training.checkpoint import latest_checkpoint, save_checkpoint
from training.data.datasets import Split
from training.diverged import DivergedError, History
from training.methods.base import Method, Practice
from training.optimisers import optimiser, rate
from training.practice import beside_bar, practised
from training.recipe import Recipe
from training.sizing import epoch_steps
from training.within_epoch import Due, Within

Networks = Callable[[int], Sequence[Architecture]]
"""What a step of that number trains."""

DIVERGED = "diverged.json"

FEW_STEPS = 100
"""A training of fewer says so: by its epochs alone it looks longer than it is."""


def fit(
    method: Method,
    pictures: Split,
    recipe: Recipe,
    *,
    seed: int,
    checkpoint: Path,
    identity: dict[str, Any],
    reporter: Reporter,
    what: str,
    networks: Networks = lambda number: (),
    after_epoch: Callable[[nn.Module, History], str | None] = lambda model, history: None,
    until: int | None = None,
    smoothed: AveragedModel | None = None,
) -> tuple[nn.Module, History]:
    """Trains the method's model for the recipe's epochs, from the checkpoint's epoch if there is one.

    A killed training that is started again ends with the same weights bit for bit (on CPU with the same number of
    threads): every draw is seeded by (seed, epoch), and the checkpoint of each finished epoch holds all other state. In
    a long epoch there is one every few minutes, see `training.within_epoch`.

    Of several processes (`foundation.distributed`) each takes its share of every batch, and all end with the same
    weights; the first alone reads and writes files. Continued by as many processes it ends with the same bits, too.

    Args:
        method: its gradients are the mean over the images it is given; one that takes its own steps does so, and
            `pictures` and `smoothed` are of no use then.
        networks: named, and written to `diverged.json` beside the checkpoint, if the training diverges.
        identity: plain values that say what is trained; a checkpoint of another training is refused.
        after_epoch: is given the model to use (the average, if there is one) and the history, to whose last entry it
            may add. Called before the checkpoint is written, so again after a kill between the two. Called on every
            rank: what it writes, only the first may write. What it returns stands beside the bar.
        until: the epoch after which it stops, and is gone on with later; None for the recipe's last. The learning rate
            is the recipe's: a training in parts has the same bits as one in a piece.
        smoothed: an average of the method's evaluated model that is kept beside the training and changes nothing of it;
            the checkpoint holds it as well, see `training.smoothed`.

    Returns:
        The model to use and the history, an entry an epoch.

    Raises:
        DivergedError: a loss or a gradient is not finite; names the step and the networks.
        InputError: the checkpoint is broken, or that of another training, or of one with another number of processes;
            or the batch cannot be shared evenly.
    """
    if isinstance(method, Practice):
        return practised(
            method,
            recipe.epochs,
            seed=seed,
            checkpoint=checkpoint,
            identity={**identity, "recipe": recipe.described()},
            reporter=reporter,
            what=what,
            after_epoch=after_epoch,
            until=until,
        )
    _check_shares(pictures, recipe)
    model = method.model
    distributed.copy_from_first([*model.parameters(), *model.buffers()])
    steps_per_epoch = epoch_steps(len(pictures), recipe.batch_size)
    pictures_per_step = min(recipe.batch_size, len(pictures) // distributed.world() * distributed.world())
    steps = recipe.epochs * steps_per_epoch
    optimizer = optimiser(method.groups(recipe), recipe)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda done: rate(done, steps, recipe))
    evaluated, augmentation = method.evaluated(), method.augment(recipe)
    average = (
        AveragedModel(evaluated, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema_decay)) if recipe.ema_decay else None
    )
    usable: nn.Module = average.module if average is not None else evaluated
    identity = {**identity, "recipe": recipe.described(), "seed": seed}
    history: History = []
    within: Within | None = None
    method_state: dict[str, Any] = {}

    state = distributed.from_first(lambda: latest_checkpoint(checkpoint, reporter.say))
    if state is not None:
        if state.get("identity") != identity:
            raise InputError(f"{checkpoint}: belongs to another training; use another `out`, or remove it")
        if state.get("processes") != distributed.world() and len(state.get("history", ())) < recipe.epochs:
            raise InputError(
                f"{checkpoint}: of a training by {state.get('processes')} processes, now there are "
                f"{distributed.world()}; start as many, or remove it to train from the beginning"
            )
        try:
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            _check_state(optimizer)
            schedule.load_state_dict(state["schedule"])
            if average is not None:
                average.load_state_dict(state["average"])
            if smoothed is not None:
                smoothed.load_state_dict(state["smoothed"])
            method_state = state.get("method", {})  # absent from those of before there were methods
            method.load_state_dict(method_state)
            history = state["history"]
            if "within" in state:
                within = Within.read(state["within"])
                within.restore((model, usable))  # and again below: here it is seen whether it fits
        except (LookupError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            reason = first_line(error)
            raise InputError(f"{checkpoint}: does not fit ({reason}); remove it to train from the beginning") from None
    first, last = len(history), recipe.epochs if until is None else min(until, recipe.epochs)
    if first >= last:
        return usable, history
    if within is not None:
        where = f"step {within.steps + 1} of {steps_per_epoch} in epoch {first + 1} of {recipe.epochs}"
        reporter.say(f"{what}: goes on at {where}")

    def keep(place: Within | None = None) -> None:
        if distributed.rank() == 0:
            beside = {} if smoothed is None else {"smoothed": smoothed.state_dict()}
            save_checkpoint(
                checkpoint,
                {
                    "identity": identity,
                    "processes": distributed.world(),
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "schedule": schedule.state_dict(),
                    "average": average.state_dict() if average is not None else None,
                    "method": method.state_dict(),
                    "history": history,
                    **({} if place is None else {"within": place.to_dict()}),
                    **beside,
                },
            )
        due.kept()

    due = Due()
    if steps < FEW_STEPS:
        reporter.say(
            f"{what}: {steps} steps in all ({len(pictures)} pictures, batches of {recipe.batch_size}); "
            "if that is too few, lower `batch_size` or raise the epochs"
        )
    done = first * steps_per_epoch + (0 if within is None else within.steps)
    judged, note = "", ""
    with reporter.track(what, last * steps_per_epoch, "steps", done) as advance:
        for epoch in range(first, last):
            torch.manual_seed(derive(seed, "epoch", epoch, distributed.rank()))
            model.train()
            method.begin_epoch(epoch)
            begun, total, spent = 0, 0.0, 0.0
            if within is not None:  # what was drawn since the epoch began is drawn no more
                method.load_state_dict(method_state)
                within.restore((model, usable))
                begun, total, spent = within.steps, within.loss, within.seconds
                within = None
            started = time.monotonic() - spent
            order = derive(seed, "order", epoch)
            share = (distributed.rank(), distributed.world())
            batches = pictures.batches(
                recipe.batch_size, seed=order, augmentation=augmentation, share=share, skipped=begun
            )
            for index, (images, targets) in enumerate(batches, begun):
                number = epoch * steps_per_epoch + index
                optimizer.zero_grad()
                loss = distributed.average_gradients(model.parameters(), method(images, targets, number))
                norm = float(nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm or math.inf))
                for name, value in (("loss", loss), ("gradient's norm", norm)):
                    if not math.isfinite(value):
                        where = f"{what}: the {name} became {value} at step {number} (epoch {epoch + 1})"
                        raise DivergedError(f"{where}{_named(networks(number), number, checkpoint)}")
                optimizer.step()
                schedule.step()
                if average is not None:
                    average.update_parameters(evaluated)
                if smoothed is not None:
                    smoothed.update_parameters(evaluated)
                total += loss
                speed = (index + 1) * pictures_per_step / max(1e-9, time.monotonic() - started)
                note = f"loss {loss:.3f}, {speed:,.0f} images/s"
                if index + 1 == steps_per_epoch:
                    continue  # it is told once the epoch is judged
                advance(beside_bar(judged, note))
                if due(index + 1):
                    keep(Within.now(index + 1, total, time.monotonic() - started, (model, usable)))
            seconds = time.monotonic() - started
            speed = steps_per_epoch * pictures_per_step / max(1e-9, seconds)
            entry = {"loss": total / steps_per_epoch, "seconds": seconds, "images_per_second": speed}
            history.append({"epoch": epoch + 1, **entry})
            for kept in {id(module): module for module in (model, usable)}.values():
                # Batch statistics of every rank's pictures.
                distributed.average([buffer for buffer in kept.buffers() if buffer.is_floating_point()])
            judged = after_epoch(usable, history) or judged
            keep()
            advance(beside_bar(judged, note))
    return usable, history


def _check_state(optimizer: torch.optim.Optimizer) -> None:
    """Raises ValueError for a state of other parameters, or of the same in another order; torch counts them only."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, torch.Tensor) and value.ndim and value.shape != parameter.shape:
                raise ValueError(f"the optimiser's {name} is of other parameters")


def _check_shares(pictures: Split, recipe: Recipe) -> None:
    """Every process must have as many pictures of a step as the others, and two at least for batch statistics."""
    world = distributed.world()
    if world == 1:
        return
    if recipe.batch_size % world:
        raise InputError(
            f"`batch_size` {recipe.batch_size}: {world} processes cannot share it evenly; give a multiple of {world}"
        )
    if min(recipe.batch_size, len(pictures)) < 2 * world:
        raise InputError(
            f"`batch_size` {recipe.batch_size}: {world} processes want two of {len(pictures)} pictures each"
        )


def _named(networks: Sequence[Architecture], number: int, checkpoint: Path) -> str:
    """The networks of a diverged step and what is left, for the error; writes the networks beside the checkpoint."""
    text = ""
    if networks:
        path = checkpoint.with_name(DIVERGED)
        if distributed.rank() == 0:
            write_json(path, {"step": number, "architectures": [network.to_dict() for network in networks]})
        digests = ", ".join(network.digest()[:12] for network in networks)
        text = f", training {'network' if len(networks) == 1 else 'networks'} {digests} (see {path})"
    return f"{text}; the checkpoint of the last whole epoch is kept; lower the learning rate, with another `out`"
