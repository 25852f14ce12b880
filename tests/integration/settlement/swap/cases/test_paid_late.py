"""Money that is paid to an ended swap's output while no command runs: `resume` and `refund` find it, and refund it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cli.exits import NotFound
from cli.output import Output
from cli.swap_resuming import ask_and_carry_on, resume_all
from foundation.quantities import Satoshi
from settlement.swap.bitcoin.output import output_of
from settlement.swap.machine.changes import Wish
from tests.support.swap_cases import ENDS_WELL, SATOSHI, OpenCase

pytestmark = pytest.mark.integration
LATE = Satoshi(700_000)


async def test_output_of_an_ended_swap_is_paid_when_nobody_looks(
    case: OpenCase, capsys: pytest.CaptureFixture[str]
) -> None:
    """T2 has passed: `resume` refunds it and says of which swap, then finds nothing more, and says where it looked; a
    second payment `refund` finds; the other side, whose swap it is not to refund, looks for nothing."""
    async with case() as swap:
        await swap.agree()
        assert await swap.outcomes() == ENDS_WELL
        terms = (await swap.follower.row()).state.terms
        await swap.pass_t2()
        follower, initiator = swap.follower.person, swap.initiator.person
        for side in swap.sides.values():
            await side.vanish()

        async def paid_late() -> None:
            script = output_of(terms).script
            await swap.chains.bitcoin.pay(script, LATE)  # in a block: in the mempool nobody looks for a stranger's

        async def resumed(as_json: bool = True) -> Any:
            capsys.readouterr()
            await resume_all(follower.settings, follower.keys, Output(as_json))
            told = capsys.readouterr().out
            return json.loads(told) if as_json else told

        async def refund() -> None:
            settings, name = follower.settings, terms.swap_id.hex()[:8]
            await ask_and_carry_on(settings, lambda: follower.keys, Output(True), name, Wish.REFUND)

        await paid_late()
        assert await resumed() == [{"swap": terms.swap_id.hex(), "outcome": "swapped", "paid_late": True}]
        assert -20_000 < (await swap.follower.gained())[0] + SATOSHI - LATE < 0
        assert await resumed() == []
        looked = await resumed(as_json=False)
        assert looked == "nothing is open; 1 swap that ended in the last 30 days was looked at for late payments\n"
        with pytest.raises(NotFound, match="nothing was paid to it since"):
            await refund()
        await paid_late()
        await refund()
        assert -40_000 < (await swap.follower.gained())[0] + SATOSHI - 2 * LATE < 0
        capsys.readouterr()
        await resume_all(initiator.settings, initiator.keys, Output(False))
        assert capsys.readouterr().out == "nothing is open\n"
