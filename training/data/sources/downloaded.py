"""The small data sets that torchvision has."""

from training.data.dataset import DATASETS, Dataset, Wanted
from training.data.held import HeldSplit
from training.data.torchvision_sets import KINDS, ROOT, find

SPECS = "cifar10[:ROOT], cifar100[:ROOT], fashion-mnist[:ROOT]"


def downloaded(wanted: Wanted) -> Dataset:
    """The pictures on the disk, fetched if they may be."""
    kind = wanted.kind
    found = find(wanted.spec, kind, wanted.rest or ROOT, wanted.side, download=wanted.download)
    mean, std = KINDS[kind].mean, KINDS[kind].std
    return Dataset(
        name=kind,
        identity=kind,
        classes=found.classes,
        mean=mean,
        std=std,
        load=lambda split: HeldSplit(found.load(split), mean, std, wanted.device),
        device=wanted.device,
    )


for _kind in KINDS:
    DATASETS.register(_kind)(downloaded)
