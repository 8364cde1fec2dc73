"""What a clip tells of an action beyond one frame, and what the scene adds, on clips whose truth is known.

    python -m benchmarks.actions [--seeds 5] [--epochs N] [--clips N] [--threads 1] [--arms ARM,ARM] [--folder FOLDER]

One network of `mobile-96`, its middle with CA/8 everywhere, as wide as fills the preset's budget, is trained on
`scenes:actions` by the recipe `clips` with what an arm gives it:

- `frame`: one frame eight times, no scene;
- `clip`: eight frames, no scene;
- `scene`: eight frames and the scene;
- `shuffled`: eight frames and the scene of another clip.

All have the same parameters and MACs; what an arm leaves out is a grey tile. Each is tested on the usual test clips,
and on those in which scene and action disagree as often as they agree before. `pair` is the mean over the two actions
that look alike. Seeds are of the weights and the order; the clips are the same. Differences are paired by seed, with
intervals of 95 %. A killed run goes on where it was, and more seeds can be asked for later.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import torch
from rich.console import Console

from benchmarks.arms import some_of
from benchmarks.intervals import ahead, told
from commands.presets import PRESETS
from commands.recipes import RECIPES
from commands.search_settings import settings_of
from foundation.amounts import human
from foundation.files import write_json
from foundation.json_files import read_json
from foundation.progress import Reporter
from reports.terminal.tables import plain_table
from search_space.architecture import Architecture, Attention
from search_space.baselines import at_cost
from search_space.cost.cost import measure
from search_space.families.mobile.baselines import nudged, uniform
from search_space.families.mobile.space import MobileSpace
from search_space.spaces import named_space
from tasks.actions.room import ACTIONS
from training.checkpoint import remove_checkpoints
from training.data.dataset import Dataset
from training.data.people import clips
from training.data.people.motion import ALIKE
from training.lanes import use_threads
from training.model_file import load_model
from training.procedure import Procedure
from training.recipe import Recipe
from training.resize import resized_batches
from training.specs import ACTIONS as TASK
from training.standalone import CHECKPOINT, WEIGHTS, train_standalone
from training.task import Examination

ARMS = {"frame": ",frame,no-scene", "clip": ",no-scene", "scene": "", "shuffled": ",shuffled"}
"""What stands after the data's name."""

TESTS = {"usual": "", "reversed": ",reversed"}
PAIRS = (("clip", "frame"), ("scene", "clip"), ("scene", "shuffled"))
NUMBERS = ("f_map", "wf_map", "pair")


@dataclass(frozen=True)
class Bench:
    """What is trained, how, and where what it comes to is kept."""

    folder: Path
    recipe: Recipe
    reporter: Reporter

    def data(self, arm: str, test: str) -> Dataset:
        """The clips of an arm, with the test set of that name."""
        spec = f"{settings_of(TASK).data}{ARMS[arm]}{TESTS[test]}"
        return ACTIONS.data(spec, self.architecture.resolution, torch.device("cpu"), self.reporter)

    @cached_property
    def architecture(self) -> Architecture:
        """The space's middle network with CA/8, as wide as fills the budget."""
        settings = settings_of(TASK)
        space = named_space(settings.space)
        assert isinstance(space, MobileSpace)
        assert settings.max_macs is not None
        budget, make = settings.max_macs, partial(uniform, space, Attention("ca", 8))

        def off(network: Architecture) -> float:
            head = ACTIONS.head(len(clips.WITH_A_PAIR.actions), network)
            return measure(network, head).macs / (0.99 * budget) - 1

        return at_cost(lambda width, divisor: make(width, divisor), off, nudged)

    def results(self, arm: str, seeds: int) -> list[dict[str, dict[str, float]]]:
        """What an arm comes to on each test set, by seed: from its files, or by training it."""
        kind = f"{arm}-{self.recipe.epochs}-{clips.COUNTS['train']}"
        kept = [self.folder / f"{kind}-{seed}.json" for seed in range(1, seeds + 1)]
        if not all(path.exists() for path in kept):
            usual, reversed_ = (self.data(arm, test) for test in TESTS)
            for seed, path in enumerate(kept, 1):
                if not path.exists():
                    write_json(path, self._trained(arm, seed, self.folder / f"{kind}-{seed}", usual, reversed_))
        return [read_json(path) for path in kept]

    def _trained(
        self, arm: str, seed: int, folder: Path, usual: Dataset, reversed_: Dataset
    ) -> dict[str, dict[str, float]]:
        what = f"{arm} {seed}"
        trained = train_standalone(
            self.architecture,
            usual,
            Procedure(self.recipe, ACTIONS),
            seed=seed,
            folder=folder,
            reporter=self.reporter,
            what=what,
        )
        network, _ = load_model(folder / WEIGHTS)
        batches = resized_batches(reversed_.test.batches(256), self.architecture.resolution)
        other = ACTIONS.measure(network, batches)
        remove_checkpoints(folder / CHECKPOINT)
        return {test: _numbers(one, usual.classes) for test, one in zip(TESTS, (trained.test, other), strict=True)}


def main() -> None:
    """Trains, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=None, help="default: those of the recipe")
    parser.add_argument("--clips", type=int, default=None, help="to train on; default: all")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--arms", type=some_of(ARMS), default=tuple(ARMS))
    parser.add_argument("--folder", type=Path, default=Path("runs/actions-benchmark"))
    arguments = parser.parse_args()
    use_threads(arguments.threads, lanes=arguments.threads > 1)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    if arguments.clips is not None:
        clips.COUNTS["train"] = arguments.clips
    recipe = RECIPES[PRESETS[TASK].retraining]
    recipe = recipe if arguments.epochs is None else recipe.lasting(arguments.epochs)
    bench = Bench(arguments.folder, recipe, Reporter())
    results = {arm: bench.results(arm, arguments.seeds) for arm in arguments.arms}
    _print(bench, results, arguments.seeds)


def _numbers(test: Examination, classes: Sequence[str]) -> dict[str, float]:
    """Its scores, the average precision of each action, and the mean over the pair that looks alike."""
    assert test.by_class is not None
    shares = dict(zip(classes, test.by_class().shares["ap"], strict=True))
    of_actions = {f"of {action}": share for action, share in shares.items() if share is not None}
    pair = sum(of_actions.get(f"of {action}", 0.0) for action in ALIKE) / len(ALIKE)
    return {**test.measured.numbers(), **of_actions, "pair": pair}


def _print(bench: Bench, results: Mapping[str, Sequence[Mapping[str, Mapping[str, float]]]], seeds: int) -> None:
    """A table of the arms on each test set, the actions by arm, and what is ahead of what."""
    console = Console(width=120)
    cost = measure(bench.architecture, ACTIONS.head(len(clips.WITH_A_PAIR.actions), bench.architecture))
    console.print(
        f"{human(cost.macs)} MACs, {human(cost.params)} parameters; {bench.recipe.epochs} epochs, {seeds} seeds"
    )
    for test in TESTS:
        table = plain_table(f"{test} test clips", ("arm", "f-mAP", "wf-mAP", "pair"), words=("arm",))
        for arm, found in results.items():
            table.add_row(arm, *(told([one[test][name] for one in found]) for name in NUMBERS))
        console.print(table)
        for one, other in PAIRS:
            if one in results and other in results:
                gaps = [
                    ahead([a[test][name] - b[test][name] for a, b in zip(results[one], results[other], strict=True)])
                    for name in NUMBERS
                ]
                console.print(f"{one} ahead of {other}: f-mAP {gaps[0]}, wf-mAP {gaps[1]}, pair {gaps[2]} points")
    by_action = plain_table("usual test clips: average precision", ("action", *results), words=("action",))
    for action in clips.WITH_A_PAIR.actions:
        own = (told([one["usual"].get(f"of {action}", 0.0) for one in found]) for found in results.values())
        by_action.add_row(action, *own)
    console.print(by_action)


if __name__ == "__main__":
    main()
