"""Where places count: attentions and heads on segmentation and detection of `scenes`, at equal MACs.

    python -m benchmarks.downstream attention --task segmentation|detection [--seeds N] [--epochs N] [--folder FOLDER]
                                    [--pretrain SPEC]
    python -m benchmarks.downstream heads [--seeds N] [--epochs N] [--folder FOLDER]

`attention` trains one network with none, SE, CBAM and CA everywhere, each with widths that fill the budget of the
task's preset. It prints the metric in the layout of the CA paper's tables (arXiv:2103.02907, tables 6 to 8), beside its
figures. `heads` puts heads of segmentation on one backbone: a convolution, ORDNet's branches one after the other, and
DeepLabV3's; each has as many channels as fill the budget. It prints the mean intersection over union of the classes
that need near, middle and far context.

All are trained by the recipe `dense`, from scratch; or with `--pretrain SPEC` each backbone first learns the classes of
those pictures at half the side, by the recipe `quick` and the same seed. Differences are paired by seed, with 95%
intervals and t-tests. A killed run goes on where it was, and more seeds can be asked for later.
"""

import argparse
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from scipy import stats

from commands.recipes import MADE_FOR, RECIPES
from commands.search_settings import settings_of
from evaluators.weight_sources import weights_in
from foundation.amounts import human
from foundation.files import write_json
from foundation.json_files import read_json
from foundation.progress import Reporter
from reports.terminal.tables import plain_table
from search_space.architecture import Architecture, Attention
from search_space.baselines import at_cost
from search_space.cost.cost import measure, measured_apart
from search_space.dilation import dilated
from search_space.families.mobile.baselines import nudged, uniform
from search_space.families.mobile.space import MobileSpace
from search_space.first_weights import SCRATCH, FirstWeights
from search_space.head import Head
from search_space.parts import NO_ATTENTION
from search_space.spaces import named_space
from tasks.choice import task
from tasks.classification.room import CLASSIFICATION
from tasks.segmentation.deeplabv3 import DeepLabV3Head, rates_for
from tasks.segmentation.heads import ConvHead, DenseHead
from tasks.segmentation.ordnet import OrdnetHead
from tasks.segmentation.room import Segmentation
from training.checkpoint import remove_checkpoints
from training.data.dataset import Dataset
from training.data.datasets import load_data
from training.data.scenes import CLASSES, CONTEXT
from training.lanes import use_threads
from training.procedure import Procedure
from training.sizing import planned
from training.standalone import CHECKPOINT, WEIGHTS, train_standalone
from training.task import Task

QUIET = Reporter(quiet=True)
ATTENTIONS = (NO_ATTENTION, Attention("se", 8), Attention("cbam", 8), Attention("ca", 8))
PAPER = {
    "segmentation": {"none": "71.4", "se": "72.2", "cbam": "71.4", "ca": "74.0"},
    "detection": {"none": "22.3", "se": "23.7", "cbam": "23.0", "ca": "24.5"},
}
"""The paper's: mIoU of DeepLabV3 on Cityscapes at stride 8 (table 8); AP of SSDLite320 on COCO (table 6)."""

PARTS_OF_AP = ("ap50", "ap75", "ap_small", "ap_medium", "ap_large")
"""What the paper's table 6 has beside the average precision."""


@dataclass(frozen=True)
class Arm:
    """A network, and what it is trained as."""

    architecture: Architecture
    task: Task
    head: Head


def main() -> None:
    """Trains, prints."""
    arguments = _arguments()
    use_threads(arguments.threads)
    name = arguments.task if arguments.what != "heads" else "segmentation"
    folder = arguments.folder or Path("runs") / f"downstream-{arguments.what}-{name}"
    bench = Bench(folder, name, arguments.seeds, arguments.epochs, arguments.pretrain)
    if arguments.what == "attention":
        _attention(bench)
    else:
        _heads(bench)


class Bench:
    """The scenes, the recipe, and where what networks come to is kept.

    Args:
        pretrain: the pictures whose classes backbones learn first, as `--data` names them; None: they begin fresh.
    """

    def __init__(self, folder: Path, name: str, seeds: int, epochs: int | None, pretrain: str | None = None):
        self.folder = folder
        self.name = name
        self.pretrain = pretrain
        self.preset = settings_of(name)
        self.seeds = range(1, seeds + 1)
        self.recipe = RECIPES["dense"] if epochs is None else RECIPES["dense"].lasting(epochs)
        space = dilated(named_space(self.preset.space), self.preset.output_stride)
        assert isinstance(space, MobileSpace)
        self.space = space
        self.task = task(name, self.preset.head)
        self.data: Dataset = self.task.data("scenes", space.resolution[0], torch.device("cpu"), QUIET)
        self.head = self.task.head(self.data.num_classes, space.widest(own_kernels=False)[0][1])
        assert self.preset.max_macs is not None
        self.budget: int = self.preset.max_macs
        side = space.resolution[0] // 2
        self.pictures = load_data(pretrain, side, torch.device("cpu"), QUIET) if pretrain else None

    def filled(self, attention: Attention) -> Architecture:
        """The space's middle network with one attention, as wide as fills the budget."""

        def off(network: Architecture) -> float:
            return measure(network, self.head).macs / (0.99 * self.budget) - 1

        make = partial(uniform, self.space, attention)
        return at_cost(lambda width, divisor: make(width, divisor), off, nudged)

    def results(self, name: str, arm: Arm) -> list[dict[str, float]]:
        """What an arm comes to on the test scenes, by seed: from its folders, or by training it."""
        found = []
        for seed in self.seeds:
            kind = f"{name}-{arm.architecture.digest()[:12]}"
            pretrained = "" if self.pictures is None else "-pretrained"
            folder = self.folder / f"{kind}-{self.recipe.epochs}-{seed}{pretrained}"
            kept = folder / "outcome.json"
            if not kept.exists():
                start = self._start(arm.architecture, self.folder / f"{kind}-classes-{seed}", seed)
                trained = train_standalone(
                    arm.architecture,
                    self.data,
                    Procedure(self.recipe, arm.task, start=start),
                    seed=seed,
                    folder=folder,
                    reporter=QUIET,
                    what=name,
                )
                values = trained.test.measured.numbers()
                values |= {entry.name: entry.value for entry in trained.test.entries if entry.value is not None}
                if trained.test.by_class is not None:
                    (shares,) = trained.test.by_class().shares.values()
                    values |= {
                        f"of {one}": share for one, share in zip(self.data.classes, shares, strict=True) if share
                    }
                write_json(kept, values)
                remove_checkpoints(folder / CHECKPOINT)
            found.append(read_json(kept))
            print(f"{name} {seed}: {json.dumps(found[-1])}", flush=True)
        return found

    def _start(self, architecture: Architecture, folder: Path, seed: int) -> FirstWeights:
        """What a backbone begins with."""
        if self.pictures is None:
            return SCRATCH
        if not (folder / WEIGHTS).exists() or (folder / CHECKPOINT).exists():
            smaller = architecture.at(architecture.resolution // 2)
            recipe = planned(RECIPES["quick"], MADE_FOR["quick"], len(self.pictures.train))
            trained = train_standalone(
                smaller,
                self.pictures,
                Procedure(recipe, CLASSIFICATION),
                seed=seed,
                folder=folder,
                reporter=QUIET,
                what="classes",
            )
            print(f"{folder.name}: {100 * trained.test.measured.value:.2f} % of test pictures", flush=True)
            remove_checkpoints(folder / CHECKPOINT)
        return weights_in(folder)


class _WithHead(Segmentation):
    """Segmentation with a head that no flag names."""

    def __init__(self, head: DenseHead):
        super().__init__()
        self._head = head

    def head(self, num_classes: int, architecture: Architecture) -> Head:
        return self._head


def _attention(bench: Bench) -> None:
    arms = {attention.kind: Arm(bench.filled(attention), bench.task, bench.head) for attention in ATTENTIONS}
    results = {name: bench.results(name, arm) for name, arm in arms.items()}
    _print(bench, arms, results, bench.task.metric.name, "none", {"paper": PAPER[bench.name]})
    if "ca" in results:
        for other in ("se", "cbam"):
            print(f"ca − {other}: {_lead(bench, results['ca'], results[other], bench.task.metric.name)}")


def _heads(bench: Bench) -> None:
    backbone = uniform(bench.space, NO_ATTENTION)
    stride = backbone.strides[-1]
    rates = rates_for(stride, -(-backbone.resolution // stride))
    kinds: dict[str, Any] = {
        "conv": partial(ConvHead, len(CLASSES)),
        "short": partial(OrdnetHead, len(CLASSES), branches=("short",)),
        "+ global": partial(OrdnetHead, len(CLASSES), branches=("short", "mr"), grid=1),
        "+ MR": partial(OrdnetHead, len(CLASSES), branches=("short", "mr"), grid=2),
        "+ RLR": partial(OrdnetHead, len(CLASSES), branches=("short", "rlr")),
        "+ MR + RLR": partial(OrdnetHead, len(CLASSES), branches=("short", "mr", "rlr"), grid=2),
        "ASPP": partial(DeepLabV3Head, len(CLASSES), rates=rates),
    }
    arms = {}
    for name, kind in kinds.items():
        widths = (width for width in range(8, 257, 4) if measure(backbone, kind(width=width)).macs <= bench.budget)
        head = kind(width=max(widths))
        arms[name] = Arm(backbone, _WithHead(head), head)
    results = {name: bench.results(name.replace(" ", ""), arm) for name, arm in arms.items()}
    for group, classes in CONTEXT.items():
        for rows in results.values():
            for row in rows:
                row[group] = statistics.mean(row.get(f"of {one}", 0.0) for one in classes)
    for measured in (bench.task.metric.name, *CONTEXT):
        _print(bench, arms, results, measured, "short", {})


def _print(
    bench: Bench,
    arms: Mapping[str, Arm],
    results: Mapping[str, Sequence[Mapping[str, float]]],
    measured: str,
    reference: str,
    beside: Mapping[str, Mapping[str, str]],
) -> None:
    of = f"{bench.name} of scenes, {bench.recipe.epochs} epochs, {len(bench.seeds)} seeds"
    rows = [row for found in results.values() for row in found]
    parts = [one for one in PARTS_OF_AP if measured == "ap" and all(one in row for row in rows)]
    titles = (one.replace("ap_", "").replace("ap", "AP") for one in parts)
    columns = ("arm", "params", "MACs", "of head", f"{measured}, %", *titles, f"ahead of {reference}", *beside)
    table = plain_table(of, columns)
    for name, arm in arms.items():
        whole, own = measure(arm.architecture, arm.head), [100 * row[measured] for row in results[name]]
        _, of_head = measured_apart(arm.architecture, arm.head)
        lead = "" if name == reference else _lead(bench, results[name], results[reference], measured)
        more = [figures.get(name, "") for figures in beside.values()]
        spread = f" ± {statistics.stdev(own):.2f}" if len(own) > 1 else ""
        told = f"{statistics.mean(own):.2f}{spread}"
        cost = (human(whole.params), human(whole.macs), human(of_head.macs))
        apart = [f"{100 * statistics.mean(row[one] for row in results[name]):.1f}" for one in parts]
        table.add_row(name, *cost, told, *apart, lead, *more)
    Console(width=120).print(table)


def _lead(bench: Bench, one: Sequence[Mapping[str, float]], other: Sequence[Mapping[str, float]], measured: str) -> str:
    """Mean difference in points, paired by seed, with its 95% interval and the p of a paired t-test."""
    differences = [100 * (a[measured] - b[measured]) for a, b in zip(one, other, strict=True)]
    mean = statistics.mean(differences)
    if len(bench.seeds) < 2:
        return f"{mean:+.2f}"
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    half = float(stats.t.ppf(0.975, len(differences) - 1)) * error
    p = float(stats.ttest_1samp(differences, 0).pvalue)
    return f"{mean:+.2f} ± {half:.2f} (p {p:.3f})"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("attention", "heads"))
    parser.add_argument("--task", choices=("segmentation", "detection"), default="segmentation")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=None, help="default: those of the recipe")
    parser.add_argument("--pretrain", default=None, metavar="SPEC")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=None)
    return parser.parse_args()


if __name__ == "__main__":
    main()
