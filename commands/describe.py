"""Draw and cost a network without training it: see README.md, and `python describe.py --help`."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from commands.settings import DESCRIBE
from foundation.amounts import human
from foundation.errors import InputError
from foundation.files import check_writable, write_json, write_text
from foundation.progress import Reporter
from foundation.started_as import as_typed
from reports.html.drawing import draw
from reports.terminal.description import attention_table, lines, stage_table
from search_space.cost.cost import measure
from search_space.network import check
from studies.runs.run_folder import BEST, FRONT
from studies.runs.source import read_source
from training.checkpoint import load_weights
from training.model_file import ModelInfo
from training.standalone import WEIGHTS


def main(arguments: Sequence[str]) -> None:
    """Parses, wires, prints."""
    settings = DESCRIBE.parse(arguments)
    reporter = Reporter(settings.quiet)
    # Data are named for the next command alone; none are read.
    folder = Path(settings.source)
    run = folder.parent if folder.name == FRONT else folder
    source = read_source(settings.source, None if (run / BEST).exists() else "…", settings.network)
    architecture = source.architecture
    if settings.resolution is not None:
        architecture = architecture.at(settings.resolution)
    classes = settings.classes or (len(source.classes) if source.classes else _trained_classes(folder) or 1000)
    try:
        check(architecture, classes)
    except InputError as error:
        raise InputError(f"{settings.source}: {error}") from None
    for option, name in (("--svg", settings.svg), ("--json", settings.json)):
        if name is not None and not Path(name).absolute().parent.is_dir():
            raise InputError(f"{option} {name}: there is no folder {Path(name).parent}; make it first")
        if name is not None:
            check_writable(Path(name))
    cost = measure(architecture, classes)
    rows = lines(architecture, classes)
    title = f"{settings.source}: {architecture.resolution} pixels, {classes} classes, {architecture.everywhere}"
    reporter.show(stage_table(rows, title))
    table = attention_table(rows)
    if table is not None:
        reporter.show(table)
    reporter.say(f"{human(cost.macs)} MACs ({cost.macs:,}), {human(cost.params)} parameters ({cost.params:,})")
    reporter.say(f"digest {architecture.digest()}")
    if settings.svg is not None:
        write_text(Path(settings.svg), draw(architecture, title, classes, standalone=True))
        reporter.say(f"{settings.svg}: the drawing")
    if settings.json is not None:
        write_json(Path(settings.json), architecture.to_dict())
        after = f"python retrain.py {shlex.quote(settings.json)} --data {shlex.quote(source.data)}"
        reporter.say(f"next:   {as_typed(after)}")


def _trained_classes(folder: Path) -> int | None:
    """The number of classes of the network that was trained in the folder; None if none was."""
    path = folder / WEIGHTS
    return len(ModelInfo.from_metadata(load_weights(path)[1], str(path)).classes) if path.is_file() else None
