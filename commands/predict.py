"""Say what a trained network sees in pictures: see docs/deployment.md, and `python predict.py --help`."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from commands.output_folder import make
from commands.settings import PREDICT
from deployment.model_source import Model, find_model, read_model
from deployment.prediction import find_pictures, predict
from foundation.device import default_threads, resolve_device
from foundation.errors import InputError
from foundation.printed import complain, printable
from reports.terminal.annotated_picture import draw_annotated, is_annotated
from training.data.preprocessing import photograph
from training.lanes import use_threads
from training.task import Answers, Drawing

DRAWN = 768  # pixels of the longer side of a picture that is drawn over


def main(arguments: Sequence[str]) -> None:
    """Parses, wires, prints."""
    settings = PREDICT.parse(arguments)
    pictures, left_out = find_pictures(settings.pictures)
    for line in left_out:
        complain(line)
    device = resolve_device(settings.device)
    use_threads(default_threads(), lanes=device.type == "cpu")
    model = read_model(find_model(settings.source), device)
    out = None if settings.out is None else Path(settings.out)
    if out is not None:
        _check_drawn(model, pictures, out)
        make(out)
    failed = 0
    for prediction in predict(model, pictures, settings.top):
        if prediction.error is not None:
            failed += 1
            complain(f"error: {prediction.error}")
            continue
        print(printable(str(prediction.path)))
        for name, share in prediction.classes:
            print(f"  {100 * share:6.2f} %  {printable(name)}", flush=True)
        if out is not None:
            _draw(model, prediction.path, prediction.answers, out)
    if failed:
        raise InputError(f"{failed} of {len(pictures)} pictures could not be read or classified; those named above")


def _check_drawn(model: Model, pictures: Sequence[Path], out: Path) -> None:
    """Raises InputError for a task that draws nothing, and where a picture would take the place of another one."""
    if not isinstance(model.task, Drawing):
        raise InputError(f"--out {out}: task {model.info.task} has nothing to draw; leave it out")
    written: dict[Path, Path] = {}
    for picture in pictures:
        if _is_pipe(picture):
            raise InputError(f"--out {out}: {picture} is a pipe, which can be read once; save the picture as a file")
        target = _drawn(picture, out)
        other = written.setdefault(target, picture)
        if other != picture:
            raise InputError(f"--out {out}: {other} and {picture} would both be written as {target.name}; rename one")
        if os.path.exists(target) and not is_annotated(target):
            raise InputError(f"--out {out}: {target} is there, and not written by this command; choose another folder")


def _is_pipe(picture: Path) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(picture).st_mode)
    except (OSError, ValueError):  # said when it is read
        return False


def _drawn(picture: Path, out: Path) -> Path:
    return out / f"{picture.stem}.png"


def _draw(model: Model, picture: Path, answers: Answers, out: Path) -> None:
    task, side = model.task, model.info.architecture.resolution
    assert isinstance(task, Drawing)
    drawn = task.drawn(photograph(picture, model.info, DRAWN), answers, (side, side), model.info.classes)
    draw_annotated(drawn, _drawn(picture, out))
