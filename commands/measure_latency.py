"""Measure a latency table on this device, or export its pieces for another: see `python measure_latency.py --help`."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from commands.heads import head_of_space
from commands.settings import MEASURE_LATENCY
from deployment.latency import measure_table
from deployment.piece_export import export_pieces
from deployment.runtimes import Runtime
from foundation.device import resolve_device
from foundation.errors import InputError
from foundation.files import check_writable
from foundation.plugins import loaded_plugins
from foundation.progress import Reporter
from foundation.started_as import as_typed
from search_space.cost.priced_space import PricedSpace
from search_space.dilation import dilated
from search_space.spaces import priced_space
from tasks.choice import task
from training.specs import TASK


def main(arguments: Sequence[str]) -> None:
    """Parses, wires, prints."""
    settings = MEASURE_LATENCY.parse(arguments)
    reporter = Reporter(settings.quiet)
    priced = priced_space(settings.space)
    space = priced.space
    if settings.resolution is not None:
        if settings.resolution not in space.resolution:
            known = ", ".join(map(str, space.resolution))
            raise InputError(f"--resolution {settings.resolution}: not in space {space.name}; it has {known}")
        space = space.at(settings.resolution)
    space = dilated(space, settings.output_stride)
    assert isinstance(priced.num_classes, int)
    head = head_of_space(task(settings.task, settings.head), settings.classes or priced.num_classes, space)
    priced = PricedSpace(space, head)
    if settings.export is not None:
        folder = Path(settings.export)
        export_pieces(priced, folder, reporter)
        reporter.say(f"{folder}: measure its files, and fill their times into {folder / 'latency.json'}")
        return
    path = Path(settings.out)
    if not path.parent.is_dir():
        raise InputError(f"--out {path}: there is no folder {path.parent}; make it first")
    check_writable(path)
    runtime = Runtime(settings.runtime, settings.threads, resolve_device(settings.device))
    table = measure_table(priced, runtime, path, reporter, settings.rounds)
    reporter.say(f"{path}: {len(table.pieces)} pieces by {table}")
    if settings.resolution is None:
        same: dict[str, object] = {"task": settings.task if settings.task != TASK else None, "head": settings.head}
        same |= {"space": settings.space, "output-stride": settings.output_stride}
        chosen = "".join(f" --{name} {shlex.quote(str(value))}" for name, value in same.items() if value is not None)
        plugins = "".join(f" --plugin {shlex.quote(plugin)}" for plugin in loaded_plugins())
        after = f"python search.py{chosen} --latency-table {shlex.quote(str(path))} --max-latency-ms …{plugins}"
        reporter.say_command("next:", as_typed(after))
