"""Pictures of the user's own, a folder a class."""

from training.data import folders
from training.data.dataset import DATASETS, PREPARED, Dataset, Wanted
from training.data.equal_pictures import equal_pictures
from training.data.from_files import FromFiles, tell
from training.data.held import HeldSplit
from training.data.split import Split

SPECS = "folder:PATH"


@DATASETS.register("folder")
def folder(wanted: Wanted) -> Dataset:
    """Held in memory, or decoded again and again where they do not fit there, or are to be."""
    return dataset(folders.scan(wanted.spec, wanted.rest), wanted)


def dataset(tree: folders.Tree, wanted: Wanted) -> Dataset:
    """The pictures of a tree, as they are wanted."""
    tell(
        wanted.reporter,
        tree.notes,
        lambda: equal_pictures({split: tree.listed(split) for split in tree.files}, wanted.rest),
    )
    streamed = not tree.fits(wanted.side) if wanted.streamed is None else wanted.streamed
    files = FromFiles(wanted)

    def load(split: str) -> Split:
        if streamed:
            return files.stream(split, tree.listed(split), tree.classes)
        held = tree.load(split, wanted.side, wanted.reporter, skip_corrupt=wanted.skip_corrupt)
        return HeldSplit(held, folders.MEAN, folders.STD, wanted.device)

    counts = {split: len(members) for split, members in tree.files.items()}
    return Dataset(
        name=wanted.kind,
        # Random crops are taken from whole pictures where these are streamed: a training that changed would end with
        # other bits.
        identity=f"{wanted.kind} {'streamed ' if streamed else ''}{tree.fingerprint} {PREPARED}",
        classes=tree.classes,
        mean=folders.MEAN,
        std=folders.STD,
        load=load,
        device=wanted.device,
        files=counts,
        counts={} if wanted.skip_corrupt else counts,
    )
