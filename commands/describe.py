"""Draw and cost a network without training it: see README.md, and `python describe.py --help`."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import tasks.choice  # noqa: F401 (by which the heads of all tasks are known)
from commands.settings import DESCRIBE
from foundation.amounts import human
from foundation.errors import InputError
from foundation.files import check_writable, write_json, write_text
from foundation.progress import Reporter
from foundation.started_as import as_typed
from reports.html.drawing import draw
from reports.terminal.description import attention_table, lines, stage_table
from search_space.cost.cost import measure
from search_space.head import ClassifierHead, Head
from search_space.network import check
from studies.runs.run_folder import BEST, FRONT
from studies.runs.source import Source, read_source
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
    architecture = source.architecture
    if settings.resolution is not None:
        architecture = architecture.at(settings.resolution)
    head = _head(settings.classes, source, folder)
    if head is None:
        head = ClassifierHead(1000)
        if source.task != TASK:
            reporter.say(f"task {source.task}: its head is not known here; counted with a classifier of {head.told}")
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
        after += "".join(f" --{kind} {shlex.quote(name)}" for kind, name in named("task", source.task).items())
        reporter.say(f"next:   {as_typed(after)}")


def _head(classes: int | None, source: Source, folder: Path) -> Head | None:
    """The head that is counted: of so many classes, of a file's classes, or the run's; None where none says."""
    path = folder / WEIGHTS
    if classes is None and source.task != TASK and path.is_file():
        return ModelInfo.from_metadata(load_weights(path)[1], str(path)).head
    if classes is None and source.task == TASK:
        known = source.classes
        if known is None and path.is_file():
            known = ModelInfo.from_metadata(load_weights(path)[1], str(path)).classes
        classes = len(known) if known else None
    if classes is not None:
        return ClassifierHead(classes)
    return source.priced.head if source.priced is not None else None
