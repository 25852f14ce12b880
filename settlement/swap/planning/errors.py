"""Why a swap's terms are refused before any money moves."""

from __future__ import annotations

from foundation.errors import BadInput


class UnsafeTerms(BadInput):
    """By these terms an honest side could lose, or would hardly ever trade. Raised by the planner.

    Fields: as `BadInput`: field (of the terms); problem (with the figures); cure (what would be safe).
    """
