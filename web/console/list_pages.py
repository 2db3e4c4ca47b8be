"""Pages of a list that is counted by numbers, as the API counts it."""

from __future__ import annotations

from typing import NamedTuple


class ListPage(NamedTuple):
    """A page of a list: the number of items before it, its most items, and the items of all pages."""

    offset: int
    limit: int
    total: int

    @property
    def previous(self) -> int | None:
        """The cursor of the page before; None on the first."""
        return max(0, self.offset - self.limit) if self.offset else None

    @property
    def following(self) -> int | None:
        """The cursor of the next page; None on the last."""
        return self.offset + self.limit if self.offset + self.limit < self.total else None
