"""Fixtures that several files share."""

import random
import runpy
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import tests.pooled_family  # noqa: F401 (registers itself: contract tests over spaces take it in)
from commands.recipes import RECIPES
from evaluators.prior import FEWEST
from evaluators.zero_cost import Batch
from search_space.architecture import Architecture, Attention
from search_space.cost.priced_space import PricedSpace
from search_space.families.mobile.stage_options import StageOptions
from search_space.parts import NO_ATTENTION
from search_space.space import SearchSpace
from tasks.neural import brief_training
from tests.forked import Forked
from training.data.digits import source
from training.methods.base import Method

ROOT = Path(__file__).parent.parent
# Half a minute or more each. Begun first, none is left to run alone at the end beside an idle process.
LONG = (
    "commands",
    "supernet",
    "workers",
    "studies",
    "documents",
    "distributed",
    "retraining",
    "metric",
    "space",
    "signals",
)
LONG += ("families", "detection", "export", "coordnas", "nni_experiment", "variation", "cost", "latency", "ray")
LONG += ("streaming", "predictor", "warm_start", "within_epoch", "zero_cost")


def pytest_configure(config: pytest.Config) -> None:
    """Files go to pytest-xdist's processes in the order below, and not by how many tests each has."""
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {f"test_{name}": place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONG)))


class Killed(BaseException):
    """What ends a training as a kill does: nothing catches it."""


@pytest.fixture
def killed_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[type[Method], int, Callable[[], None]], None]:
    """Runs something until a method's step of that number, counted from 0, at which it dies."""

    def run(method: type[Method], number: int, body: Callable[[], None]) -> None:
        steps = iter(range(number + 1))
        original = method.__call__

        def dying(self: Method, *arguments: Any) -> float:
            if next(steps) == number:
                raise Killed
            return original(self, *arguments)

        with monkeypatch.context() as patch:
            patch.setattr(method, "__call__", dying)
            with pytest.raises(Killed):
                body()

    return run


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _fields_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that a test runs has this process's messages name flags; not beyond the test."""
    monkeypatch.setattr("foundation.printed._flags_are_named", False)


@pytest.fixture
def launched(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a launcher in a folder as `python SCRIPT ARGUMENTS` does, in this process, which has torch imported already.

    What is about processes (kills, signals, what is imported) needs one of its own.
    """

    def launch(folder: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        capsys.readouterr()
        with monkeypatch.context() as patch:
            patch.chdir(folder)
            patch.setenv("COLUMNS", "100")
            patch.setattr("sys.argv", [script, *arguments])
            with pytest.raises(SystemExit) as ended:
                runpy.run_path(str(ROOT / script), run_name="__main__")
        said = capsys.readouterr()
        return subprocess.CompletedProcess([script, *arguments], int(ended.value.code or 0), said.out, said.err)

    return launch


@pytest.fixture(scope="session")
def forked() -> Iterator[Forked]:
    """Runs a launcher in a process of its own, which has torch imported already."""
    it = Forked()
    yield it
    it.close()


@pytest.fixture
def few_references(monkeypatch: pytest.MonkeyPatch) -> None:
    """A prior learns from as few networks as it takes, each drawn once; searches by shared weights spend most on it."""
    monkeypatch.setattr("evaluators.supernet.room.PRIOR_BATCH", Batch(size=16, reference=FEWEST))


@pytest.fixture
def short_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings that nothing says the epochs of are short: those of finalists above all."""
    for name, recipe in RECIPES.items():
        monkeypatch.setitem(RECIPES, name, replace(recipe, epochs=2))


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings of the hidden network of simulated neurons, and of those beside it, are of two epochs."""
    monkeypatch.setattr(brief_training, "RECIPE", replace(brief_training.RECIPE, epochs=2, batch_size=16))


@pytest.fixture(scope="session")
def covering() -> Callable[[SearchSpace, int], list[Architecture]]:
    """So many architectures of a space. Each decision takes its options in turn, so that few architectures have all."""

    def drawn(space: SearchSpace, count: int) -> list[Architecture]:
        rng = random.Random(7)
        turns: dict[str, Iterator[Any]] = {}

        def in_turn(options: Sequence[Any]) -> Iterator[Any]:
            while True:
                yield from rng.sample(options, len(options))  # another order each time: decisions are to mix

        return [
            space.assemble(lambda name, options: next(turns.setdefault(name, in_turn(options)))) for _ in range(count)
        ]

    return drawn


@pytest.fixture(scope="session")
def tiny_space() -> PricedSpace:
    """Small enough to list: every dimension is elastic, and ratios have twins."""
    attention = (NO_ATTENTION, Attention("se", 4), Attention("se", 8), Attention("ca", 2), Attention("ca", 8))
    options = StageOptions(
        block="inverted_residual",
        stride=2,
        width=(8, 16),
        depth=(1, 2),
        expansion=(1, 2),
        kernel_size=(3, 5),
        attention=attention,
    )
    space = SearchSpace(
        name="tiny",
        resolution=(16, 24),
        stem_width=8,
        stem_stride=2,
        stages=(options, options),
        head_width=16,
        activation="relu6",
    )
    return PricedSpace(space, 4)


@pytest.fixture(scope="session")
def picture_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder a class with 24 handwritten digits each, 32×32 PNG; in all 96 pictures of 4 classes."""
    root = tmp_path_factory.mktemp("pictures")
    images, labels = source("train")
    for digit in range(4):
        folder = root / f"digit{digit}"
        folder.mkdir()
        for index, image in enumerate(images[labels == digit][:24]):
            pixels = (np.kron(image, np.ones((4, 4))) * 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{index:02}.png")
    return root


NARROW_SPACE = """
name = "narrow"
resolution = [16]
activation = "relu6"
stem = { width = 8, stride = 2 }

[[stage]]
block = "inverted_residual"
stride = 2
width = [12]
depth = [1, 2]
expansion = [2]
kernel_size = [3, 5]
attention = ["none", "ca/8"]
"""


@pytest.fixture
def narrow_space_file(tmp_path: Path) -> Path:
    """A space of the user's own, of 13 pieces that take time."""
    path = tmp_path / "narrow.toml"
    path.write_text(NARROW_SPACE)
    return path
