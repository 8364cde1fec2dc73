"""Search for the best architectures within a budget: see README.md, and `python search.py --help`."""

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import command_line
from evaluators.supernet import SupernetEvaluator, SupernetRecipe
from presets import Preset, SearchSettings, preset
from reports.tables import front_table, show
from search_space.cost import Budget, human
from search_space.errors import InputError
from search_space.space import SearchSpace
from search_space.spaces import named_space
from studies import run_folder
from studies.front import pareto_front, rescore
from studies.loop import search
from studies.optuna_study import OptunaStudy, check_sampler
from training.data import load_data
from training.device import default_threads, resolve_device, use_threads
from training.progress import Reporter, duration

EXAMPLE = "example: python search.py digits --max-macs 1M --trials 300 --out runs/small"


def main(arguments: Sequence[str]) -> None:
    """Parses, wires, prints."""
    settings = command_line.parse_settings(
        SearchSettings, arguments, example=EXAMPLE, defaults=lambda name: preset(name).settings
    )
    chosen = preset(settings.preset)
    check_sampler(settings.sampler)
    if settings.evaluator != "supernet":
        raise InputError(f"--evaluator {settings.evaluator}: unknown; known: supernet")
    started = time.monotonic()
    reporter = Reporter(settings.quiet)
    device = resolve_device(settings.device)
    space = named_space(settings.space)
    data = load_data(settings.data, max(space.resolution), device)
    space = replace(space, num_classes=data.num_classes)
    budget = Budget(settings.max_macs, settings.max_params)
    recipe = replace(
        chosen.recipe,
        epochs=settings.supernet_epochs or chosen.recipe.epochs,
        batch_size=settings.batch_size or chosen.recipe.batch_size,
    )
    table = space.table(budget)  # refuses a budget below the smallest network
    folder = Path(settings.out or f"runs/{settings.preset}")
    identity = _identity(settings, chosen, recipe, space, budget)
    free = {"trials": settings.trials, "device": str(device), "threads": default_threads()}
    with run_folder.opened(folder, identity, free) as recorded:
        use_threads(recorded["threads"])
        reporter.say(f"space {space.name}: {_about(*space.count())} architectures")
        reporter.say(f"within {budget}: {_about(*table.count())}")
        reporter.say(f"data {data.name}: {len(data.train)} training, {len(data.validation)} validation pictures")
        evaluator = SupernetEvaluator(
            space, data, recipe, chosen.scoring, seed=settings.seed, folder=folder, reporter=reporter
        )
        storage = f"sqlite:///{folder / run_folder.STUDY}"
        study = OptunaStudy(space, storage, sampler=settings.sampler, seed=settings.seed, startup=settings.startup)
        evaluator.prepare()
        candidates = search(
            study,
            evaluator,
            space,
            budget,
            trials=settings.trials,
            startup=settings.startup,
            seed=settings.seed,
            reporter=reporter,
        )
        best_again = rescore(candidates, evaluator, chosen.rescored, reporter)
        run_folder.write_results(folder, best_again, len(candidates), budget, data)
        title = f"front of {len(candidates)} candidates within {budget}, {len(data.validation)} validation pictures"
        if not settings.quiet:
            show(reporter.console, front_table(pareto_front(best_again), title))
        reporter.say(f"{folder}: done in {duration(time.monotonic() - started)}")
        reporter.say(f"watch:  optuna-dashboard {storage}")
        reporter.say(f"next:   python retrain.py {folder} --compare")


def _identity(
    settings: SearchSettings, chosen: Preset, recipe: SupernetRecipe, space: SearchSpace, budget: Budget
) -> dict[str, Any]:
    """What makes two runs the same."""
    return {
        "space": asdict(space),
        "data": settings.data,
        "budget": asdict(budget),
        "evaluator": {"name": settings.evaluator, "recipe": asdict(recipe), "scoring": asdict(chosen.scoring)},
        "sampler": {"name": settings.sampler, "startup": settings.startup, "rescored": chosen.rescored},
        "seed": settings.seed,
    }


def _about(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"between {human(low)} and {human(high)}"


if __name__ == "__main__":
    sys.exit(command_line.run(main, continues=True))
