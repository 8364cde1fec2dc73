"""Draw and cost a network without training it: see README.md, and `python describe.py --help`."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from commands.settings import DESCRIBE, DescribeSettings
from foundation.amounts import human
from foundation.errors import InputError
from foundation.files import check_writable, write_json, write_text
from foundation.progress import Reporter
from foundation.started_as import as_typed
from reports.html.drawing import draw
from reports.terminal.description import attention_table, lines, stage_table
from search_space.architecture import Architecture
from search_space.cost.cost import measure
from search_space.head import Head
from search_space.network import check
from studies.runs.run_folder import BEST, FRONT
from studies.runs.source import Source, read_source
from tasks.choice import TASKS, has_settings, task
from training.checkpoint import load_weights
from training.model_file import ModelInfo
from training.specs import TASK, named
from training.standalone import WEIGHTS


def main(arguments: Sequence[str]) -> None:
    """Parses, wires, prints."""
    settings = DESCRIBE.parse(arguments)
    reporter = Reporter(settings.quiet)
    # Data are named for the next command alone; none are read.
    folder = Path(settings.source)
    run = folder.parent if folder.name == FRONT else folder
    source = read_source(settings.source, None if (run / BEST).exists() else "…", settings.network)
    source = source.dilated(settings.output_stride)
    architecture = source.architecture
    if settings.resolution is not None:
        architecture = architecture.at(settings.resolution)
    head = _head(settings, source, architecture, reporter)
    try:
        check(architecture, head)
    except InputError as error:
        raise InputError(f"{settings.source}: {error}") from None
    for option, name in (("--svg", settings.svg), ("--json", settings.json)):
        if name is not None and not Path(name).absolute().parent.is_dir():
            raise InputError(f"{option} {name}: there is no folder {Path(name).parent}; make it first")
        if name is not None:
            check_writable(Path(name))
    cost = measure(architecture, head)
    rows = lines(architecture, head)
    title = f"{settings.source}: {architecture.resolution} pixels, {head.told}, {architecture.everywhere}"
    reporter.show(stage_table(rows, title))
    table = attention_table(rows)
    if table is not None:
        reporter.show(table)
    reporter.say(f"{human(cost.macs)} MACs ({cost.macs:,}), {human(cost.params)} parameters ({cost.params:,})")
    reporter.say(f"digest {architecture.digest()}")
    if settings.svg is not None:
        write_text(Path(settings.svg), draw(architecture, title, head, standalone=True))
        reporter.say(f"{settings.svg}: the drawing")
    if settings.json is not None:
        write_json(Path(settings.json), architecture.to_dict())
        after = f"python retrain.py {shlex.quote(settings.json)} --data {shlex.quote(source.data)}"
        name = settings.task or source.task
        kind, _, own = name.partition(":")
        if has_settings(kind):
            kind, own = name, ""
        flags = named("task", kind) | ({"head": settings.head or own} if settings.head or own else {})
        after += "".join(f" --{name} {shlex.quote(value)}" for name, value in flags.items())
        reporter.say_command("next:", as_typed(after))


def _head(settings: DescribeSettings, source: Source, architecture: Architecture, reporter: Reporter) -> Head:
    """The head that is counted: the run's or the file's own, or what the flags make of the task."""
    path = Path(settings.source) / WEIGHTS
    info = ModelInfo.from_metadata(load_weights(path)[1], str(path)) if path.is_file() else None
    changes = (settings.task, settings.head, settings.classes, settings.resolution, settings.output_stride)
    if all(change is None for change in changes):
        own = info.head if info else source.priced.head if source.priced and source.task != TASK else None
        if own is not None:
            return own
    known = info.classes if info else source.classes
    classes = settings.classes or (len(known) if known else 1000)
    name = settings.task or source.task
    if settings.task is None and name.partition(":")[0] not in TASKS:
        reporter.say(f"task {name}: its head is not known here; counted with a classifier of {classes} classes")
        name = TASK
    return task(name, settings.head).head(classes, architecture)
