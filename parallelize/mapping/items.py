"""What a map can yield besides results: their items with them, and errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from parallelize.futures.future import Outcome

if TYPE_CHECKING:
    from parallelize.mapping.order import Part

__all__ = ("ErrorBudget", "PairedOutcome", "Pairing")


class PairedOutcome(Outcome):
    """An outcome that has to be opened, and its item."""

    __slots__ = ("_outcome", "item")

    def __init__(self, item: object, outcome: Outcome) -> None:
        self.item: Any = item
        self._outcome = outcome

    @property
    def failed(self) -> bool:
        """Whether it is known, without opening, to be an error."""
        return self._outcome.failed

    def open(self) -> tuple[Any, BaseException | None]:
        """Return the pair of item and value, or the error."""
        value, error = self._outcome.open()
        return (None, error) if error is not None else ((self.item, value), None)

    @property
    def pickled_size(self) -> int:
        """The approximate number of bytes that opening unpickles."""
        return self._outcome.pickled_size


class Pairing:
    """Combines outcomes with the items that they are the results of."""

    def __init__(self, *, skipped: int, is_single: bool) -> None:
        """Say which part of a row is the item.

        Args:
            skipped: The number of arguments before it, which are not of the input.
            is_single: Whether there is one iterable, so that its item stands alone.
        """
        self._skipped = skipped
        self._is_single = is_single

    def paired(self, part: Part) -> Part:
        """Return the part with pairs in place of values."""
        rows, first = part.chunk.rows, part.first
        pairs = [
            self._pair(rows[row], outcome)
            for row, outcome in enumerate(part.outcomes, first)
        ]
        return part._replace(outcomes=pairs, kinds=set(map(type, pairs)))

    def item(self, row: tuple[Any, ...]) -> Any:
        """Return the part of a row that is the item."""
        return row[self._skipped] if self._is_single else row[self._skipped :]

    def _pair(self, row: tuple[Any, ...], outcome: object) -> Any:
        item = self.item(row)
        if issubclass(type(outcome), Outcome):  # isinstance would ask proxies
            return PairedOutcome(item, outcome)  # type: ignore[arg-type]
        return item, outcome


class ErrorBudget:
    """Counts the errors that a map yields."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._errors: list[Any] = []  # what it is, past its own __class__

    def add(self, error: BaseException) -> BaseExceptionGroup[BaseException] | None:
        """Count an error; return all of them if it is one too many."""
        self._errors.append(error)
        if len(self._errors) <= self._most:
            return None
        errors, self._errors = self._errors, []
        count, most = len(errors), self._most
        msg = f"{count} calls of the map have failed, and max_errors is {most}"
        return BaseExceptionGroup(msg, errors)  # an ExceptionGroup, if it can be
