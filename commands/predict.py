"""Say what a trained network sees in pictures: see docs/deployment.md, and `python predict.py --help`."""

from collections.abc import Sequence
from dataclasses import dataclass

from commands import command_line
from commands.command_line import flag, positional, whole
from deployment.model_source import find_model, read_model
from deployment.prediction import find_pictures, predict
from search_space.errors import InputError
from training.device import default_threads, resolve_device
from training.lanes import use_threads
from training.printed import complain, printable

EXAMPLE = "example: python predict.py runs/digits/retrain/found-0 picture.jpg folder/of/pictures --top 3"


@dataclass(frozen=True)
class PredictSettings:
    """Say what a trained network sees in pictures."""

    source: str = positional("a network's folder (runs/digits/retrain/found-0), or a .safetensors or .onnx file")
    pictures: Sequence[str] = positional("picture files, or folders of them", several=True)
    top: int = flag(5, "classes to name of each picture", whole(1, 1_000_000))
    device: str = flag("auto", "cpu, cuda, or auto: a GPU if there is one")


def main(arguments: Sequence[str]) -> None:
    """Parses, wires, prints."""
    settings = command_line.parse_settings(PredictSettings, arguments, example=EXAMPLE)
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
