"""`causeway`, whose traders have time for their swaps also on development chains (`swap_room`); no setting gives it.

python -m tests.support.swap_command swap …
"""

from __future__ import annotations

from cli.main import app
from registry.caip import ChainId
from settlement.swap.engine import settings
from settlement.swap.planning.conditions import Conditions, conditions_for
from tests.support.swap_room import roomy


def _conditions_for(bitcoin: ChainId, evm: ChainId) -> Conditions:
    return roomy(conditions_for(bitcoin, evm))


if __name__ == "__main__":
    vars(settings)["conditions_for"] = _conditions_for
    app(prog_name="causeway")
