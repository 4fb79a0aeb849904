"""Negatives that are other items for each pass."""

from collections.abc import Callable, Sequence

from torch import Tensor

from aligners.spectral.coordinates import Frame
from aligners.spectral.factors import Factors
from aligners.spectral.negatives import Negatives, Place, Weights
from aligners.spectral.rows import RowSource
from aligners.spectral.step import Rule, Step


class Redrawn:
    """S over the first of the ``parts`` in the first pass, over the next in the next; after the last the first again.

    ``begun`` passes led to where it starts. The objective at a place is that of the pass from there. A part is made
    when a pass comes to it.

    Example:
        >>> class Part:
        ...     def __init__(self, value):
        ...         self.value = value
        ...
        ...     def at(self, factors):
        ...         return Place(factors, Contrasted(self.value))
        ...
        ...     def search(self, place, step):
        ...         return Place("there", Contrasted(self.value - 1), eta=0.1)
        >>> from aligners.objectives.sweep import Contrasted
        >>> redrawn = Redrawn([lambda: Part(5.0), lambda: Part(7.0)])
        >>> place = redrawn.search(redrawn.at("here"), step=None)
        >>> place.factors, place.contrasted.value, place.eta, place.number
        ('there', 7.0, 0.1, 1)
    """

    def __init__(self, parts: Sequence[Callable[[], Negatives]], begun: int = 0):
        self._make, self._begun = parts, begun
        self._made: dict[int, Negatives] = {}

    @property
    def rule(self) -> Rule:
        """The parts' rule."""
        return self._part(self._begun).rule

    @property
    def frame(self) -> Frame:
        """The parts' frame."""
        return self._part(self._begun).frame

    def _part(self, number: int) -> Negatives:
        part = number % len(self._make)
        if part not in self._made:
            self._made[part] = self._make[part]()
        return self._made[part]

    def at(self, factors: Factors) -> Place:
        return self._part(self._begun).at(factors)._replace(number=self._begun)

    def rows_at(self, place: Place) -> RowSource:
        return self._part(place.number).rows_at(place)

    def weights(self, place: Place, D_x: Tensor, D_y: Tensor) -> Weights:
        return self._part(place.number).weights(place, D_x, D_y)

    def gradients(self, place: Place) -> Weights:
        return self._part(place.number).gradients(place)

    def search(self, place: Place, step: Step) -> Place | None:
        found = self._part(place.number).search(place, step)
        if found is None:
            return None
        number = place.number + 1
        there = self._part(number).at(found.factors)
        return there._replace(eta=found.eta, last=found.last, number=number)
