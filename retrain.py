"""Train a found architecture from scratch: see README.md, and `python retrain.py --help`."""

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import command_line
from presets import RetrainSettings, check_init, recipe
from reports.tables import Row, comparison_table
from search_space.baselines import compared
from search_space.cost import measure
from search_space.pretrained import check_family
from studies import run_folder
from studies.source import read_source
from training import distributed
from training.data import load_data
from training.device import default_threads, resolve_device, use_threads
from training.progress import Reporter, duration
from training.standalone import train_standalone

EXAMPLE = "example: python retrain.py runs/digits --compare"


def main(arguments: Sequence[str]) -> None:
    """Parses, wires, prints."""
    settings = command_line.parse_settings(RetrainSettings, arguments, example=EXAMPLE)
    started = time.monotonic()
    reporter = Reporter(settings.quiet or distributed.rank() > 0)
    device = resolve_device(settings.device)
    check_init(settings.init)
    chosen = recipe(settings.recipe)
    chosen = replace(
        chosen, epochs=settings.epochs or chosen.epochs, batch_size=settings.batch_size or chosen.batch_size
    )
    source = read_source(settings.source, settings.data)
    data = load_data(source.data, source.architecture.resolution, device, reporter)
    source.check(data)
    if settings.init == "torchvision":
        check_family(source.architecture)
    networks = {"found" if source.space else "given": source.architecture}
    if settings.compare:
        macs = measure(source.architecture, data.num_classes).macs
        networks |= compared(source.architecture, source.space, macs, data.num_classes)
    len(data.test)  # is read last, but a picture that cannot be decoded is found before anything is trained
    out = Path(settings.out) if settings.out else source.folder / "retrain"
    identity = {
        "architecture": source.architecture.digest(),
        "data": data.identity,
        "recipe": asdict(chosen),
        "init": settings.init,
    }
    free = {
        "data": source.data,
        "device": str(device),
        "threads": default_threads(),
        "processes": distributed.world(),
        "seeds": settings.seeds,
    }
    with distributed.entered_by_first(run_folder.opened(out, identity, free)) as recorded:
        use_threads(recorded["threads"])
        rows = []
        results = []
        for name, architecture in networks.items():
            cost = measure(architecture, data.num_classes)
            trained = []
            for seed in range(settings.seed, settings.seed + settings.seeds):
                folder = out / f"{name.replace(' ', '-')}-{seed}"
                what = f"{name}, seed {seed}"
                result = train_standalone(
                    architecture,
                    data,
                    chosen,
                    seed=seed,
                    folder=folder,
                    reporter=reporter,
                    what=what,
                    init=settings.init,
                )
                trained.append(result)
                results.append(
                    {
                        "network": name,
                        "architecture": architecture.to_dict(),
                        "cost": cost.to_dict(),
                        "seed": seed,
                        "test": result.test._asdict(),
                    }
                )
            accuracies = tuple(result.test.accuracy for result in trained)
            rows.append(Row(name, architecture, cost, accuracies, tuple(result.seconds for result in trained)))
        if distributed.rank() == 0:
            run_folder.merge_results(out, results)
        title = f"{data.name}: {len(data.test)} test pictures, {chosen.epochs} epochs, {_seeds(settings.seeds)}"
        reporter.show(comparison_table(rows, title))
        reporter.say(f"{out}: done in {duration(time.monotonic() - started)}")


def _seeds(count: int) -> str:
    return "1 seed" if count == 1 else f"{count} seeds"


if __name__ == "__main__":
    sys.exit(command_line.run(main, continues=True))
