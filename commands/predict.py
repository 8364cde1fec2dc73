"""Say what a trained network sees in pictures: see docs/deployment.md, and `python predict.py --help`."""

from collections.abc import Sequence

from commands.settings import PREDICT
from deployment.model_source import find_model, read_model
from deployment.prediction import find_pictures, predict
from foundation.device import default_threads, resolve_device
from foundation.errors import InputError
from foundation.printed import complain, printable
from training.lanes import use_threads


def main(arguments: Sequence[str]) -> None:
    """Parses, wires, prints."""
    settings = PREDICT.parse(arguments)
    pictures, left_out = find_pictures(settings.pictures)
    for line in left_out:
        complain(line)
    device = resolve_device(settings.device)
    use_threads(default_threads(), lanes=device.type == "cpu")
    model = read_model(find_model(settings.source), device)
    failed = 0
    for prediction in predict(model, pictures, settings.top):
        if prediction.error is not None:
            failed += 1
            complain(f"error: {prediction.error}")
            continue
        print(printable(str(prediction.path)))
        for name, share in prediction.classes:
            print(f"  {100 * share:6.2f} %  {printable(name)}", flush=True)
    if failed:
        raise InputError(f"{failed} of {len(pictures)} pictures could not be read or classified; those named above")
