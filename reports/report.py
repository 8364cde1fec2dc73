"""`report.html`: a run in one file, which opens anywhere and loads nothing."""

import hashlib
from pathlib import Path

from foundation.errors import InputError
from foundation.files import check_inside, remove_leftovers, write_text
from foundation.progress import Reporter
from reports.html.answer import answer
from reports.html.choices import attention, decisions_section
from reports.html.drawing import kinds_of
from reports.html.finalists_section import finalists
from reports.html.front_section import front
from reports.html.markup import concatenated, element, text
from reports.html.page import page
from reports.html.reproduction import reproduction
from reports.html.search_course import progress, trust
from reports.html.seen_section import seen
from reports.html.times import times
from reports.html.training_curves import training
from reports.record import Record, read_record
from reports.remarks import remarks

REPORT = "report.html"
PROGRAM = Path(__file__).parent
MOST = 64 << 20  # bytes of a report, one of thousands of networks


def write_report(
    folder: Path, reporter: Reporter, *, storage: str | None = None, retrained: Path | None = None
) -> Path | None:
    """Writes a run's report into its folder, from what the folder's files and the study hold, and says where.

    Two equal runs' reports differ in their last part alone, which holds times. A report that was written from the same
    record by the same program stays as it is.
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
        if not _is_of(path, _source(record, noted=storage is not None)):
            noted = False
            if storage is not None:
                from reports.dashboard import write_notes  # the dashboard takes two seconds to import

                noted = write_notes(record, storage, reporter)
            # Last: a report that is there says that the notes are.
            write_text(path, report(record, _source(record, noted=noted)))
    except (InputError, OSError) as error:
        reporter.say(f"no report: {error}")
        return None
    if retrained is None:  # of a search, not of what a retraining adds to its report
        for said in remarks(record):
            reporter.say(said)
    without = f" (without the search's candidates: {record.without_study})" if record.without_study else ""
    reporter.say(f"report: {path}{without}")
    return path


def _source(record: Record, *, noted: bool) -> str:
    """Digest of all that a report is made from: what is known of the run, and the program; and whether notes are."""
    hashed = hashlib.sha256(repr((record, noted)).encode(errors="surrogatepass"))
    for path in sorted(PROGRAM.rglob("*.*")):
        if path.suffix in (".py", ".css", ".js"):
            hashed.update(path.read_bytes())
    return hashed.hexdigest()


def _is_of(path: Path, source: str) -> bool:
    """Whether the report that lies there was made from this."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return source.encode() in file.read(MOST)


def report(record: Record, source: str = "") -> str:
    """The page.

    Args:
        source: the digest of what it is made from, which is noted in it.
    """
    parts = [
        finalists(record),
        front(record),
        attention(record),
        decisions_section(record),
        progress(record),
        trust(record),
        seen(record),
        training(record),
        reproduction(record),
        times(record, source),
    ]
    architectures = [one.candidate.architecture for one in record.evaluated]
    architectures += [one.architecture for one in record.front]
    architectures += [one.architecture for one in record.retrained]
    architectures += [record.best.architecture] if record.best else []
    foot = "Written by CoordNAS from the files in the run's folder."
    if record.without_study:
        foot += f" Without the search's candidates: {record.without_study}."
    return page(
        f"{record.name} · CoordNAS",
        concatenated(text("CoordNAS · "), element("b", text(record.name))),
        answer(record),
        [part for part in parts if part is not None],
        foot,
        kinds_of(architectures),
    )
