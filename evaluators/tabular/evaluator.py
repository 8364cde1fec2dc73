"""Candidates scored by looking them up in a table of trained networks, so that a search takes no training at all."""

from typing import Any

from evaluators.forecast import Search, scored_seconds
from evaluators.predictor import Predictor
from evaluators.tabular.table import Table
from foundation.errors import InputError
from foundation.metric import ACCURACY, Measured
from search_space.architecture import Architecture
from search_space.cost.priced_space import PricedSpace


class TabularEvaluator:
    """Answers with the table's mean validation accuracy over the seeds.

    What the table lacks is refused, or with `surrogate` predicted by a regression on the table, as NAS-Bench-301 does
    for a space too large to be trained whole (arXiv:2008.09777). A table holds no cross-entropy: `loss` is the error
    rate.
    """

    metric = ACCURACY

    def __init__(self, priced: PricedSpace, table: Table, *, surrogate: bool = False):
        if table.space != priced.space.name:
            raise InputError(
                f"table of space {table.space}: this search is in {priced.space.name}; give a table of that"
            )
        self.priced = priced
        self.table = table
        self.surrogate = surrogate
        self._scores = {entry.architecture: entry.score for entry in table.networks}
        self._predictor: Predictor | None = None

    def identity(self) -> dict[str, Any]:
        """Plain values: every setting that can change a score."""
        return {"name": "tabular", "table": self.table.digest, "surrogate": self.surrogate}

    def about(self) -> str:
        """What is done, for the user who waits for it."""
        return f"tabular: {len(self.table.networks)} networks trained on {self.table.data}"

    def prepare(self) -> None:
        """Fits the surrogate, if there is one. Raises InputError if the table has too few networks for it."""
        if self.surrogate:
            networks = self.table.networks
            self._predictor = Predictor(self.priced).fit(
                [entry.architecture for entry in networks], [entry.score for entry in networks]
            )

    def evaluate(self, architecture: Architecture, *, thorough: bool = False) -> Measured:
        """The table's accuracy, or the surrogate's. Raises InputError naming the digest for neither."""
        accuracy = self._scores.get(architecture)
        if accuracy is None:
            if self._predictor is None:
                raise InputError(
                    f"architecture {architecture.digest()} is not among the {len(self.table.networks)} networks of the "
                    "table; ask for its surrogate (surrogate=True, then prepare()) to have it predicted"
                )
            mean, _ = self._predictor.predict([architecture])
            accuracy = self._scores[architecture] = min(1.0, max(0.0, float(mean[0])))
        return Measured(ACCURACY, accuracy, {"loss": 1 - accuracy})

    def seconds(self, search: Search) -> dict[str, float]:
        """See `evaluators.forecast`."""
        self.prepare()  # is quick, and leaves no file
        return scored_seconds(self, search)
