"""`report.html`: a run in one file, which opens anywhere and loads nothing."""

from datetime import datetime
from pathlib import Path

from reports.answer import answer
from reports.choices import attention, decisions
from reports.drawing import kinds_of
from reports.front_section import front
from reports.markup import element, joined, text
from reports.page import page
from reports.record import Record, read_record
from reports.reproduction import reproduction
from reports.search_course import progress, trust
from reports.training_curves import training
from search_space.errors import InputError
from training.files import check_inside, remove_leftovers, write_text
from training.progress import Reporter

REPORT = "report.html"


def write_report(
    folder: Path, reporter: Reporter, *, storage: str | None = None, retrained: Path | None = None
) -> Path | None:
    """Writes a run's report into its folder, from what the folder's files and the study hold, and says where.

    It holds times, so two equal runs' reports differ; nothing reads it.
    What the run came to stands in other files already, so that a report which cannot be written, a file of another
    kind being in its way or the disk full, is no reason to fail: a line says why, and None is returned.

    Args:
        storage: the study's address, where the user has given one: it gets the notes. If not, the folder's own study is
            read, and left as it is.
        retrained: where networks were trained by themselves, beside the folder's `retrain` and `retrain-…`.
    """
    path = folder / REPORT
    try:
        check_inside(path, folder)
        remove_leftovers(folder, (REPORT,))
        record = read_record(folder, storage, retrained)
        write_text(path, report(record))
    except (InputError, OSError) as error:
        reporter.say(f"no report: {error}")
        return None
    if storage is not None:
        from reports.dashboard import write_notes  # the dashboard takes two seconds to import

        write_notes(record, storage, reporter)
    without = f" (without the search's candidates: {record.without_study})" if record.without_study else ""
    reporter.say(f"report: {path}{without}")
    return path


def report(record: Record) -> str:
    """The page."""
    parts = [
        front(record),
        attention(record),
        decisions(record),
        progress(record),
        trust(record),
        training(record),
        reproduction(record),
    ]
    architectures = [one.candidate.architecture for one in record.evaluated]
    architectures += [one.architecture for one in record.front]
    architectures += [one.architecture for one in record.retrained]
    architectures += [record.best.architecture] if record.best else []
    written = datetime.now().strftime("%Y-%m-%d %H:%M")
    foot = f"Written by CoordNAS on {written} from the files in the run's folder."
    if record.without_study:
        foot += f" Without the search's candidates: {record.without_study}."
    return page(
        f"{record.name} · CoordNAS",
        joined(text("CoordNAS · "), element("b", text(record.name))),
        answer(record),
        [part for part in parts if part is not None],
        foot,
        kinds_of(architectures),
    )
