"""Tables of the terminal: whatever its width, no name and no number is cut."""

import io
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from evaluators.base import Metrics
from foundation.metric import ACCURACY
from reports.terminal.tables import finalists_table, front_table, plain_table
from search_space.cost.priced_space import PricedSpace
from studies.finalists import Final
from studies.trials import Candidate

COLUMNS = ("network", "test accuracy", "first ahead by", "p", "MACs", "params", "seconds", "attention by stage")
ROWS = (
    ("found", "94.47 % ± 0.57", "", "", "915.3k", "20.1k", "1234", "none se/16 ca/4 ca/8/hswish se/4 none ca/32"),
    (
        "uniform ca/16, of the winner's MACs",
        "93.20 % ± 0.61",
        "+1.27 ± 0.80",
        "<0.001",
        "901.0k",
        "19.4k",
        "977",
        "ca/16",
    ),
)
TITLE = "digits: 4000 test pictures, 25 epochs, 3 seeds, and words enough to need a second line at sixty columns"


def _lines(
    columns: tuple[str, ...], rows: tuple[tuple[str, ...], ...], width: int, title: str | None = TITLE
) -> list[str]:
    table = plain_table(title, columns)
    for row in rows:
        table.add_row(*row)
    said = io.StringIO()
    # As `foundation.progress.Reporter` prints on a terminal.
    Console(file=said, width=width, highlight=False, soft_wrap=True).print(table)
    return [line.rstrip() for line in said.getvalue().splitlines()]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_comparison_is_read_whole(width: int) -> None:
    lines = _lines(COLUMNS, ROWS, width)
    assert all(cell_len(line) <= width for line in lines)
    words = " ".join(" ".join(lines).split())
    for row in ROWS:
        for cell in row:
            assert cell in words
    assert TITLE in words
    assert all(name in words for name in COLUMNS)


def test_attention_goes_first_and_the_name_stays() -> None:
    widths = {}
    for width in range(30, 200):
        header = next(line for line in _lines(COLUMNS, ROWS, width, None) if line.split()[:1] == ["network"])
        widths[width] = [name for name in COLUMNS if name in header]
    kept = list(dict.fromkeys(map(tuple, widths.values())))
    order = [set(wide) - set(narrow) for narrow, wide in itertools.pairwise(kept)]
    assert kept[0][0] == "network"
    assert kept[-1] == COLUMNS
    assert order[-3:] == [{"params"}, {"seconds"}, {"attention by stage"}]


def test_where_all_fits_it_is_a_table_as_before() -> None:
    lines = _lines(("network", "MACs"), (("a", "1.00M"), ("bc", "22.00M")), 60, "title")
    assert lines == [
        "title",
        "",
        "  network     MACs",
        " ──────────────────",
        "  a          1.00M",
        "  bc        22.00M",
        "",
    ]


_NAMES = st.text("abcdé々", min_size=1, max_size=12)


@settings(max_examples=30, deadline=None)
@given(
    columns=st.lists(_NAMES, min_size=1, max_size=6, unique=True),
    data=st.data(),
    width=st.integers(24, 140),
)
def test_no_word_is_cut_or_lost(columns: list[str], data: st.DataObject, width: int) -> None:
    cells = st.lists(_NAMES, max_size=4).map(" ".join)
    rows = [tuple(data.draw(cells) for _ in columns) for _ in range(data.draw(st.integers(1, 4)))]
    lines = _lines(tuple(columns), tuple(rows), width, None)
    assert all(cell_len(line) <= width for line in lines)
    said = " ".join(lines).replace(",", " ").split()
    for word in (word for row in rows for cell in row for word in cell.split()):
        assert word in said


def test_trials_stand_first_where_they_are_known(tiny_space: PricedSpace) -> None:
    candidate = Candidate(tiny_space.smallest, tiny_space.cost(tiny_space.smallest), Metrics(0.5, 1.0))
    numbers = {candidate.architecture.digest(): 225}
    of_front = front_table([candidate], "a front", numbers)
    of_finalists = finalists_table([Final(candidate, (0.5,))], [8], ACCURACY, numbers)
    for table in (of_front, of_finalists):
        assert table.columns[0].header == "trial"
        assert list(table.columns[0].cells) == ["225"]
    assert "trial" not in [column.header for column in front_table([candidate], "a front").columns]
