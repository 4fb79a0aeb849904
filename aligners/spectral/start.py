"""Where passes start from: the first solution in the frame that they move in."""

from collections.abc import Iterator, Sequence
from functools import cached_property, partial

from aligners.spectral.contrasted_rows import ContrastedRows
from aligners.spectral.coordinates import Coordinates, Frame, Projector
from aligners.spectral.factors import Factors
from aligners.spectral.movement import movement
from aligners.spectral.negatives import NEGATIVES, Negatives, Place
from aligners.spectral.passes import Solved
from aligners.spectral.pull import Pull, Towards, places
from aligners.spectral.record import Record
from aligners.spectral.redrawn import Redrawn
from aligners.spectral.rows import RowSource
from aligners.spectral.settings import Chosen
from aligners.spectral.span import Span
from aligners.spectral.step import Rule


class Start:
    """The solution of rank r that the ``directions``, r or more, begin with, and the passes from it.

    They move in all ``coordinates`` where the settings say so, and else in the span of the directions and of those
    that the weights pull towards there, at ``at`` and the first of the temperatures: the first pass is then as if it
    moved in all coordinates. Where there are no passes, neither is needed.
    """

    def __init__(self, coordinates: Coordinates, directions: Factors, contrasted: Sequence[ContrastedRows], at: Chosen):
        self.coordinates, self.directions, self.contrasted = coordinates, directions, contrasted
        self.training = contrasted[0].training
        self.settings = self.training.settings
        self.first = directions.leading(self.settings.rank)
        self._first_at = at._replace(tau=self.settings.candidates.tau[0])
        self._sources: dict[int, RowSource] = {}

    @cached_property
    def _first_pull(self) -> tuple[Place, Towards]:
        """The objective at the start and what it pulls towards, at the first temperature, in all coordinates."""
        rule, rows = self.settings.rule(self._first_at), self.contrasted[0].raw()
        negatives = self._over(0, rule, self.coordinates, rows)
        pull = Pull(negatives, negatives.at(self.first))
        pull.add_all()
        return pull.place, pull.pulled.end()

    @cached_property
    def span(self) -> Span | None:
        """What the passes move in, unless in all coordinates."""
        if self.settings.span_directions is None:
            return None
        return Span(self.coordinates, self.directions, *self._first_pull[1])

    @property
    def frame(self) -> Frame:
        """What the passes move in."""
        return self.coordinates if self.span is None else self.span

    def negatives(self, at: Chosen, begun: int = 0) -> Negatives:
        """The objective at a setting, over the items that are contrasted after so many passes."""
        rule = self.settings.rule(at)

        def over(number: int) -> Negatives:
            return self._over(number, rule, self.frame, self._rows(number))

        several = len(self.contrasted) > 1
        return Redrawn([partial(over, k) for k in range(len(self.contrasted))], begun) if several else over(0)

    def _over(self, number: int, rule: Rule, frame: Frame, rows: RowSource) -> Negatives:
        sample, device = self.contrasted[number].sample, self.training.device
        return NEGATIVES[self.settings.negatives](
            rule, frame, rows, sample.x_group.to(device), sample.y_group.to(device)
        )

    def place(self, negatives: Negatives, factors: Factors | None = None) -> Place:
        """The objective at the first solution, or at ``factors`` of the whitened coordinates."""
        at = self.first if factors is None else factors
        return negatives.at(at if self.span is None else self.span.within(at))

    def chain(self, at: Chosen) -> tuple[Place, Iterator[Place]]:
        """The start at a setting, and where each pass leads from there."""
        negatives = self.negatives(at)
        if self.span is None or at.tau != self._first_at.tau:
            place = self.place(negatives)
            return place, places(negatives, place)
        # what made the span is what the first pass from here would find, in the span's own coordinates
        place, (CV, CtU) = self._first_pull
        place = place._replace(factors=self.span.within(place.factors))
        return place, places(negatives, place, (self.span.U.T @ CV, self.span.V.T @ CtU))

    def embedded(self, at: Chosen, place: Place) -> Projector:
        """What embeds at a place, at a setting."""
        return self.frame.embedding(place.factors, at.weight_power)

    def only(self, at: Chosen, record: Record) -> Solved:
        """The first solution, where no pass follows: nobody needs the objective, which costs a sweep over all pairs."""
        passed = {"step": 0.0, "gap": self.first.gap, **movement(self.first, None)}
        projector = self.coordinates.embedding(self.first, at.weight_power)
        return Solved(projector, self.first, passed, record.after(passed))

    def _rows(self, number: int) -> RowSource:
        contrasted, span = self.contrasted[number], self.span
        if number not in self._sources:
            self._sources[number] = (
                contrasted.raw() if span is None else contrasted.within(span.rows, span.U.shape[1], span.V.shape[1])
            )
        return self._sources[number]
