"""How well people were followed, where the truth is known."""

from rich.table import Table

from deployment.tracking.measures import Followed
from foundation.metric import ACCURACY
from reports.terminal.tables import plain_table


def tracking_table(found: Followed, joints: float | None, title: str) -> Table:
    """The measures of tracks, of joints where theirs is known, and the counts that MOTA is made of.

    Args:
        joints: OKS-AP, from 0 to 1.
    """
    counts = {"boxes": found.boxes, "missed": found.misses, "false": found.false_alarms, "switches": found.switches}
    shares = {"MOTA": found.mota, "IDF1": found.idf1, "HOTA": found.hota}
    if joints is not None:
        shares["OKS-AP"] = joints
    table = plain_table(title, (*shares, *counts))
    table.add_row(*map(ACCURACY.written, shares.values()), *map(str, counts.values()))
    return table
