"""Train a backbone on pictures without labels: see docs/core-tuning.md, and `python pretrain.py --help`."""

import shlex
import time
from collections.abc import Sequence
from pathlib import Path

from commands.another_run import PRETRAINED
from commands.planning import nothing_written
from commands.pretraining import MADE_FOR, PRETRAIN, given_of_recipe, method, recipe
from evaluators.weight_sources import first_weights
from foundation import distributed
from foundation.device import default_threads, resolve_device
from foundation.errors import InputError
from foundation.files import check_inside
from foundation.progress import Reporter, duration
from foundation.started_as import as_typed
from reports.terminal.plan import show_retraining
from search_space.cost.cost import measure
from search_space.first_weights import check_init
from search_space.network import check
from studies.runs import run_folder
from studies.runs.identity import FILES
from studies.runs.source import read_source
from tasks.pretraining import PRETRAINING
from training.lanes import use_threads
from training.procedure import Procedure
from training.sizing import planned, told
from training.standalone import train_standalone


def main(arguments: Sequence[str]) -> None:
    """Parses, wires, prints."""
    settings = PRETRAIN.parse(arguments)
    started = time.monotonic()
    reporter = Reporter(settings.quiet or distributed.rank() > 0)
    device = resolve_device(settings.device)
    check_init(settings.init)
    usual, chosen_method = recipe(settings), method(settings)
    source = read_source(settings.source, settings.data, settings.network)
    if source.recorded:
        reporter.say(f"data {source.data}, as {settings.source} says; --data names others")
    architecture = source.architecture
    with reporter.doing("reading data"):
        data = PRETRAINING.data(
            source.data,
            architecture.resolution,
            device,
            reporter,
            streamed=usual.streamed,
            skip_corrupt=settings.skip_corrupt,
            loaders=settings.loaders,
            download=not source.recorded,
        )
    head = PRETRAINING.head(0, architecture)
    try:
        check(architecture, head)
    except InputError as error:
        raise InputError(f"{source.folder}: {error}") from None
    init = first_weights(settings.init, architecture, reporter)
    distributed.from_first(lambda: init.check(head, architecture))
    chosen = planned(usual, MADE_FOR, len(data.train), given_of_recipe(settings))
    if line := told(usual, MADE_FOR, chosen, len(data.train), "--epochs and --batch-size"):
        reporter.say(line)
    out = Path(settings.out) if settings.out else source.folder / "pretrain"
    if not settings.out:
        check_inside(out, source.folder)
    procedure = Procedure(chosen, PRETRAINING, init, method=chosen_method)
    identity = {
        "architecture": architecture.digest(),
        "data": data.identity,
        "recipe": chosen.described(),
        "seed": settings.seed,
        **procedure.described(),
    }
    free = {
        "data": source.data,
        "device": str(device),
        "threads": default_threads(),
        "processes": distributed.world(),
        FILES: dict(data.files),
        **init.recorded,
    }
    if settings.dry_run:
        run_folder.check_same(out, identity, free, run_folder.WORTH, PRETRAINED)
        use_threads(default_threads(), lanes=device.type == "cpu")
        if distributed.rank() == 0:
            sized = {architecture.resolution: data}
            show_retraining({"backbone": architecture}, sized, procedure, 1, reporter)
        reporter.say(nothing_written(out))
        return
    opened = run_folder.opened(out, identity, free, keeps=run_folder.WORTH, asked=PRETRAINED)
    with distributed.entered_by_first(opened) as recorded:
        use_threads(recorded["threads"], lanes=device.type == "cpu")
        result = train_standalone(
            architecture,
            data,
            procedure,
            seed=settings.seed,
            folder=out,
            reporter=reporter,
            what=f"backbone, seed {settings.seed}",
        )
        measured = result.test.measured
        if distributed.rank() == 0:
            row = {
                "network": "backbone",
                "architecture": architecture.to_dict(),
                "cost": measure(architecture, head).to_dict(),
                "seed": settings.seed,
                "test": measured.numbers(),
            }
            run_folder.merge_results(out, [row])
        reporter.say(
            f"{PRETRAINING.metric.written(measured.value)} of {len(data.test)} test pictures have their own other view "
            "nearest, of a batch"
        )
        reporter.say(f"{out}: done in {duration(time.monotonic() - started)}")
        begun, own = shlex.quote(settings.source), shlex.quote(str(out))
        reporter.say_command("next:", as_typed(f"python retrain.py {begun} --init {own}"))
