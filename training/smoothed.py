"""What a training's weights would come to now: an average over the latest steps, kept beside the training.

In the middle of a training the learning rate is high, and an epoch's weights are good or bad by luck. Among ten
networks that a search chose on the digits, the accuracy after 5 of 12 epochs goes with the test accuracy in the end by
r = .65, that of the average by .83, and after 4 epochs by .26 and .74 (`python -m benchmarks.finalists`). So trainings
can be judged, and given up, early.
The average is that of the weights (Polyak and Juditsky, 1992; exponential, as in arXiv:1703.01780), not of the recipe:
the training itself stays what it is.
"""

import copy
import itertools

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from foundation.metric import Measured
from foundation.seeds import derive
from training.data.dataset import Dataset
from training.evaluation import evaluate, recompute_batch_statistics
from training.methods.drop_path import without_drop_path
from training.recipe import Recipe
from training.resize import resized_batches
from training.sizing import epoch_steps
from training.task import Task

WINDOW = 0.045
"""The average's time constant, as a share of the training's steps."""
CALIBRATION = 4
"""Batches for batch statistics: the network's own belong to weights that are not averaged."""
BATCH = 256


def smoothing(network: nn.Module, recipe: Recipe, pictures: int, window: float = WINDOW) -> AveragedModel:
    """The average for a training of the network by the recipe on so many pictures."""
    steps = recipe.epochs * epoch_steps(pictures, recipe.batch_size)
    decay = 1 - 1 / max(2.0, window * steps)
    return AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay))


def judged(smoothed: AveragedModel, task: Task, data: Dataset, side: int, recipe: Recipe, seed: int) -> Measured:
    """What the average comes to on the validation pictures, resized to `side`, with batch statistics of its own."""
    network = without_drop_path(copy.deepcopy(smoothed.module))
    own = derive(seed, "smoothed")
    batches = data.train.batches(min(BATCH, len(data.train)), seed=own)
    recompute_batch_statistics(network, resized_batches(itertools.islice(batches, CALIBRATION), side))
    return evaluate(task, network, resized_batches(data.validation.batches(BATCH), side), precision=recipe.precision)
