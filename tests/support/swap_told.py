"""What a command tells, kept for tests to read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cli.output import Output
from settlement.swap.offers import SignedOffer

_LINK = re.compile(r"causeway-swap:[a-z2-7]+")


class Told(Output):
    """An output that remembers. Fields: notes (as they came); document, text (of the result)."""

    def __init__(self, as_json: bool = True) -> None:
        super().__init__(as_json)
        self.notes: list[str] = []
        self.document: Any = None
        self.text = ""

    def note(self, text: str) -> None:
        """Keep it."""
        self.notes.append(text)

    def result(self, document: Mapping[str, Any] | Sequence[Any], text: Callable[[], str] | str) -> None:
        """Keep both."""
        self.document, self.text = document, text if isinstance(text, str) else text()

    async def link(self) -> SignedOffer | None:
        """The offer that was told of."""
        found = [one for one in map(_LINK.search, self.notes) if one is not None]
        return SignedOffer.read(found[0].group()) if found else None
