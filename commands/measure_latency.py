"""Measure a latency table on this device, or export its pieces for another: see `python measure_latency.py --help`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from commands import command_line
from commands.command_line import flag, whole
from deployment.latency import ROUNDS, measure_table
from deployment.piece_export import export_pieces
from deployment.runtimes import RUNTIMES, Runtime
from search_space.errors import InputError
from search_space.priced_space import PricedSpace
from search_space.spaces import SPACES, priced_space
from training.device import resolve_device
from training.files import check_writable
from training.progress import Reporter

EXAMPLE = "example: python measure_latency.py --space mobilenetv2 --resolution 224 --runtime onnxruntime"


@dataclass(frozen=True)
class LatencySettings:
    """Measure how long each piece of a space's networks takes, alone and on one picture, into a latency table.

    Or export the pieces as ONNX files, for a device that this program does not run on.
    """

    space: str = flag("mobilenetv2-32", f"search space: {', '.join(SPACES)}, or a file FILE.toml")
    classes: int | None = flag(None, "classes of the pictures (default: the space's)", whole(1, 1_000_000))
    resolution: int | None = flag(
        None, "measure at this one of the space's resolutions; a search needs all (default: all)", whole(1, 4096)
    )
    runtime: str = flag("eager", f"what the pieces run in: {', '.join(RUNTIMES)}")
    threads: int = flag(1, "threads of the runtime", whole(1, 4096))
    device: str = flag("cpu", "cpu, cuda, or auto: a GPU if there is one")
    rounds: int = flag(ROUNDS, "times that each piece has its turn, of which the quickest counts", whole(1, 10_000))
    out: str = flag("latency.json", "the table's file; the same command again continues it")
    export: str | None = flag(None, "write the pieces into this folder instead, with a table to fill in")
    quiet: bool = flag(False, "print errors only")


def main(arguments: Sequence[str]) -> None:
    """Parses, wires, prints."""
    settings = command_line.parse_settings(LatencySettings, arguments, example=EXAMPLE)
    reporter = Reporter(settings.quiet)
    priced = priced_space(settings.space)
    space = priced.space
    if settings.resolution is not None:
        if settings.resolution not in space.resolution:
            known = ", ".join(map(str, space.resolution))
            raise InputError(f"--resolution {settings.resolution}: not in space {space.name}; it has {known}")
        space = replace(space, resolution=(settings.resolution,))
    priced = PricedSpace(space, settings.classes or priced.num_classes)
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
        reporter.say(f"next:   python search.py --space {settings.space} --latency-table {path} --max-latency-ms …")
