"""ImageNet, decoded from its files while the training goes on."""

from training.data import folders
from training.data.dataset import DATASETS, PREPARED, Dataset, Wanted
from training.data.equal_pictures import equal_pictures
from training.data.from_files import FromFiles, tell
from training.data.imagenet import scan_imagenet

SPECS = "imagenet:PATH"


@DATASETS.register("imagenet")
def imagenet(wanted: Wanted) -> Dataset:
    """A folder a class under `train/` and `val/`."""
    listed = scan_imagenet(wanted.spec, wanted.rest)
    tell(wanted.reporter, listed.notes, lambda: equal_pictures(listed.splits, wanted.rest))
    files = FromFiles(wanted)
    return Dataset(
        name=wanted.kind,
        identity=f"{wanted.kind} {listed.fingerprint} {PREPARED}",
        classes=listed.classes,
        mean=folders.MEAN,
        std=folders.STD,
        load=lambda split: files.stream(split, listed.splits[split], listed.classes),
        device=wanted.device,
        files={split: len(files.paths) for split, files in listed.splits.items()},
    )
