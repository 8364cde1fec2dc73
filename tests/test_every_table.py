"""Each table that a command prints, at 60, 80 and 120 columns: no name and no number is cut or lost."""

import ast
import io
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from deployment.compared_latency import Spread
from deployment.evaluation import Evaluation
from deployment.neurons import Study
from deployment.precisions import Precision
from deployment.robustness import Robustness
from deployment.tracking.measures import Followed
from foundation.metric import ACCURACY, Measured, Metric
from foundation.printed import printable
from reports.terminal import (
    adaptation_table,
    comparison,
    deployed_tables,
    description,
    numbers_table,
    plan,
    tables,
    tracking_table,
)
from reports.terminal.contrast_table import contrast_table
from reports.terminal.fitting_table import FittingTable
from search_space.architecture import Architecture
from search_space.backbones import hand_designed
from search_space.cost.cost import Budget, Cost, measure
from search_space.head import as_head
from search_space.spaces import priced_space
from studies.finalists import Final
from studies.trials import Candidate
from training.adaptation.adapt import Stand
from training.task import ByClass, Entry, Examination

WIDTHS = (60, 80, 120)

LONG = "/data/pictures of the harbour [2024]/a-folder-with-a-rather-long-name/runs/found-0/weights.safetensors"
"""A name that fits no line of 60 columns, with what is markup elsewhere."""
NAMES = ("found", "uniform ca/16 full", "multi-scale-context-gated/32 full", LONG)
CLASSES = ("tree frog, tree-frog", "[red] :smile: signals", "café 猫", *(f"class number {n}" for n in range(40)))
HEAD = as_head(1000)

SPACE = priced_space("mobile-32")
RANDOM = random.Random(0)
DRAWN = [SPACE.sample(RANDOM) for _ in range(4)]
COSTS = [measure(one, 10) for one in DRAWN]

ROBUST = Metric("robust accuracy", "%", 100.0, 2, "points", beside=("natural_accuracy", "loss"))
ERROR = Metric("endpoint error", "px", decimals=3, higher_is_better=False)
RETURN = Metric("mean return", decimals=3, beside=("training_levels_return", "standard_error"))


def _evaluation(entries: Sequence[Entry], *, confused: bool = True) -> Evaluation:
    count = len(CLASSES)
    matrix = torch.arange(count * count).reshape(count, count) * 12_345
    shares = {"recognised": [0.1234] * (count - 1) + [None], "of those taken for it": [1.0] * count}
    known = ByClass("pictures", [1_234_567] * count, shares, matrix if confused else None)
    measured = Measured(ACCURACY, 0.9447, {"loss": 0.2222})
    return Evaluation(CLASSES, Examination(measured, 123_456, {}, entries, lambda: known))


ENTRIES = (
    Entry("accuracy", "top-1", 0.9447, "94.47 %"),
    Entry("top_5", "top-5", 0.9999, "99.99 %"),
    Entry("loss", "loss", 0.2, "0.2222"),
    Entry("calibration", "calibration error", 0.0123, "1.23 %"),
)


def _comparison(metric: Metric, values: Sequence[float]) -> Table:
    rows = [
        comparison.ComparedNetwork(
            name, one, cost, tuple(value - place / 100 for value in values), (12_345.0,) * len(values), metric=metric
        )
        for place, (name, one, cost) in enumerate(zip(NAMES, DRAWN, COSTS, strict=True))
    ]
    return comparison.comparison_table(rows, f"{LONG}: 123456 test pictures, 300 epochs, 3 seeds")


def _front(count: int, metric: Metric, *, timed: bool) -> Table:
    found = [
        Candidate(one, replace(cost, latency_ns=23_456_789) if timed else cost, Measured(metric, 0.9 + place / 1000))
        for place, (one, cost) in enumerate(zip(DRAWN * count, COSTS * count, strict=True))
    ]
    title = tables.front_title(1_234, SPACE.budget, "scored by 4096 validation pictures with shared weights")
    return tables.front_table(found, title, {one.architecture.digest(): 1234 for one in found}, 4096)


def _finalists() -> Table:
    finals = [
        Final(Candidate(one, cost, Measured(ACCURACY, 0.9)), (0.8123, 0.9123, 0.9456)[: place + 1])
        for place, (one, cost) in enumerate(zip(DRAWN[:3], COSTS, strict=False))
    ]
    return tables.finalists_table(finals, (10, 30, 100), ACCURACY, {DRAWN[0].digest(): 1234}, 4096)


def _timed_plan() -> Table:
    """Of a space that has a table of times."""

    def cost(architecture: Architecture) -> Cost:
        return replace(measure(architecture, 10), latency_ns=123_456_789)

    priced: Any = SimpleNamespace(
        cost=cost,
        sample=lambda rng: DRAWN[0],
        largest=DRAWN[1],
        cheapest=lambda name: DRAWN[2],
        latency=True,
        budget=Budget(max_macs=1),
    )
    return plan.cost_table(priced, 0)


def _robustness() -> Robustness:
    flags = torch.arange(300) % 7 != 0
    names = ("fgsm", "pgd:100", "cw:100", "apgd-ce:100", "square:5000", "adaptive:100")
    return Robustness(8 / 255, {}, flags, dict.fromkeys(names, flags))


def _study() -> Study:
    attacks = ("neuron-guided", "model's own features", "noise of the same size", "another network's pixels")
    budgets = (0.0001, 0.001, 0.0025, 0.01, 0.025, 0.1)
    taken = dict.fromkeys(attacks, (0.1234, 0.2345, 0.3456, 0.4567, 0.5678, 1.0))
    return Study(0.5432, 0.7654, 0.987, 0.0123, 400, budgets, taken, (0.1234,) * 6, 0.01, ())


def _latencies() -> Table:
    runtimes = ("eager", "compiled (inductor)", "onnxruntime", "TensorFlow Lite, XNNPACK")
    networks = [*zip(NAMES, DRAWN, strict=True)]
    times = {(name, runtime): Spread(123_456_789, 98_765_432, 234_567_890) for name in NAMES for runtime in runtimes}
    return deployed_tables.latency_table(
        networks, times, "one picture, 16 threads, a processor with a long name: times"
    )


def _described(name: str) -> list[description.Line]:
    architecture = hand_designed(name)
    assert architecture is not None
    return description.lines(architecture, HEAD)


def _stages(name: str) -> Table:
    return description.stage_table(_described(name), f"{LONG}: 224 pixels, 1000 classes, relu6")


def _attention(name: str) -> Table:
    table = description.attention_table(_described(name))
    assert table is not None
    return table


def _stands() -> list[Stand]:
    count = len(CLASSES)
    return [
        Stand(name, 1.2345, tuple(1 / count + n / 1e5 for n in range(count)), 0.8123, (0.7654,) * (count - 1) + (None,))
        for name in ("source", "statistics of the target", "SHOT", "with labelling transfer")
    ]


MADE: dict[str, list[Callable[[], Table]]] = {
    "front_table": [
        lambda: _front(1, ACCURACY, timed=True),
        lambda: _front(8, ERROR, timed=True),
        lambda: _front(1, ROBUST, timed=False),
    ],
    "finalists_table": [_finalists],
    "cost_table": [lambda: plan.cost_table(SPACE, 0), _timed_plan],
    "trainings_table": [
        lambda: plan.trainings_table([*zip(NAMES, DRAWN, COSTS, (123_456.0, 59.0, 0.2, 7_261.0), strict=True)])
    ],
    "comparison_table": [
        lambda: _comparison(ACCURACY, (0.9447, 0.9321, 0.9512)),
        lambda: _comparison(ROBUST, (0.5123,)),
        lambda: _comparison(ERROR, (12.345, 23.456)),
    ],
    "numbers_table": [
        lambda: numbers_table.numbers_table(
            {name: [{"mean return": 9.123, "training_levels_return": 9.456, "standard_error": 0.1}] for name in NAMES},
            RETURN,
            "on unseen levels, and on those trained on",
        )
    ],
    "stage_table": [partial(_stages, name) for name in ("mobilenetv2-ca", "mobilenetv4_conv_medium", "t2t_vit_14")],
    "attention_table": [partial(_attention, name) for name in ("mobilenetv2-ca", "t2t_vit_14-se")],
    "evaluation_table": [
        lambda: deployed_tables.evaluation_table(
            [
                deployed_tables.EvaluationRow(name, one, HEAD, _evaluation(ENTRIES))
                for name, one in zip(NAMES, DRAWN, strict=True)
            ],
            f"{LONG}: 123456 test pictures",
        )
    ],
    "class_table": [
        lambda: deployed_tables.class_table(_evaluation(ENTRIES)),
        lambda: deployed_tables.class_table(_evaluation(ENTRIES, confused=False)),
    ],
    "robustness_table": [
        lambda: deployed_tables.robustness_table(
            [(name, _robustness()) for name in NAMES], f"{LONG}: 300 test pictures, each value changed by at most 8/255"
        )
    ],
    "contrast_table": [
        lambda: contrast_table(LONG, _evaluation(ENTRIES), dict.fromkeys(("another scene",), _evaluation(ENTRIES)))
    ],
    "neurons_table": [lambda: deployed_tables.neurons_table(_study(), f"simulated neurons (no animal's), {LONG}")],
    "latency_table": [_latencies],
    "precision_table": [
        lambda: deployed_tables.precision_table(
            [
                Precision(name, _evaluation(ENTRIES), Spread(1_234_567, 1_111_111, 1_345_678), 12_345_678)
                for name in NAMES
            ],
            "float32 and int8 in ONNX Runtime, one thread",
        )
    ],
    "stands_table": [
        lambda: adaptation_table.stands_table(_stands(), CLASSES, f"{LONG}: 12345 pictures, 15 epochs"),
        lambda: adaptation_table.stands_table([Stand("source", 0.5, (0.25,) * 4)] * 2, CLASSES[:4], "four classes"),
    ],
    "shares_table": [
        lambda: adaptation_table.shares_table(_stands(), CLASSES, [1 / len(CLASSES)] * len(CLASSES)),
        lambda: adaptation_table.shares_table([Stand("source", 0.5, (0.25,) * 4)] * 2, CLASSES[:4], None),
    ],
    "tracking_table": [
        lambda: tracking_table.tracking_table(
            Followed(-0.1234, 0.8235, 0.6810, 123_456, 12_345, 2_345, 1_234), 0.4567, f"{LONG}: people followed"
        ),
        lambda: tracking_table.tracking_table(Followed(0.9, 0.8, 0.7, 9, 1, 0, 0), None, "a short name"),
    ],
}
"""By the function that makes it each table of `reports.terminal`, of what is wide."""

ROOT = Path(__file__).parent.parent


def _functions() -> Iterator[str]:
    """The functions of `reports.terminal` that make a table of something."""
    for path in sorted((ROOT / "reports/terminal").glob("*.py")):
        for node in ast.parse(path.read_text()).body:
            returned = ast.unparse(node.returns) if isinstance(node, ast.FunctionDef) and node.returns else ""
            if "Table" in returned and node.name != "plain_table":
                yield node.name


def test_every_table_is_looked_at() -> None:
    assert sorted(MADE) == sorted(_functions())
    assert all(MADE.values())


def test_commands_print_no_other_tables() -> None:
    """Of rich's own nothing is cut only by luck."""
    inside = (
        path for path in ROOT.glob("[!.]*/**/*.py") if path.relative_to(ROOT).parts[0] not in ("benchmarks", "tests")
    )
    rich = [path for path in inside if re.search(r"rich\.(table import .*\bTable|columns import)", path.read_text())]
    assert {path.parent.relative_to(ROOT).as_posix() for path in rich} == {"reports/terminal"}
    made = [path.name for path in rich if re.search(r"[ =]Table\(", path.read_text())]
    assert made == ["fitting_table.py"]  # which makes one of texts that fit


def _printed(table: Table, width: int) -> list[str]:
    """As `foundation.progress.Reporter` prints on a terminal."""
    said = io.StringIO()
    Console(file=said, width=width, highlight=False, soft_wrap=True).print(table, markup=False)
    return [line.rstrip() for line in said.getvalue().splitlines()]


def _plain(text: object) -> str:
    return printable(text.plain if isinstance(text, Text) else text)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", MADE)
def test_nothing_is_cut(name: str, width: int) -> None:
    for make in MADE[name]:
        table = make()
        assert isinstance(table, FittingTable)
        lines = _printed(table, width)
        for line in lines:  # a name without spaces is as long as it is: it is the terminal that breaks it
            assert cell_len(line) <= width or len(line.split()) == 1, line
        assert not any("…" in line for line in lines)
        filled = [
            column for column in table.columns if any(map(_plain, column.cells))
        ]  # one without a value is no loss
        told = [table.title, table.caption, *(cell for column in filled for cell in (column.header, *column.cells))]
        words = " ".join(lines).replace(",", " ").split()
        for text in told:
            for word in _plain(text or "").replace(",", " ").split():
                assert word in words, (word, lines)
        if width == max(WIDTHS):  # room enough for each cell in a piece
            joined = " ".join(" ".join(lines).split())
            for text in told[2:]:
                assert " ".join(_plain(text).split()) in joined


@pytest.mark.parametrize("width", [30, *WIDTHS])
def test_texts_are_as_they_are(width: int) -> None:
    """Names come from files and from others: none is markup, the name of an emoji, or what a terminal acts on."""
    table = comparison.plain_table("a [red]title", ("[b]network", "class"))
    table.add_row("[bold]:smile:", "\x1b[31m[/]")
    table.caption = "[link]"
    words = " ".join(_printed(table, width)).split()
    for word in ("a", "[red]title", "[b]network", "class", "[bold]:smile:", "\\x1b[31m[/]", "[link]"):
        assert word in words
