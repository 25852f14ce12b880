"""Does a reservation need its coins? Pure checks beside those of `bridge.policy`, against needless reservations.

A coordinator that binds more coins than a payout needs makes it large, so that the fees its owners allow pay for a low
rate only. One that replaces a reservation without need frees coins that a signed payment still spends.
"""

from __future__ import annotations

from collections.abc import Sequence

from adapters.bitcoin.primitives import OutPoint
from bridge.payouts import Payout, Withdrawal
from bridge.policy import TAPROOT_DUST, VaultView
from bridge.refusals import MalformedProposal, NotYet


def check_needed(
    withdrawals: Sequence[Withdrawal], inputs: Sequence[OutPoint], live: Payout | None, view: VaultView
) -> None:
    """Is every coin needed, and a replacement? Call it after `policy.check_reservation`, which knows all the coins.

    Raises:
        MalformedProposal: without its smallest coin the rest would suffice, change included.
        NotYet: this node still sees every coin of the payout that is to be replaced.
    """
    if live is not None and all(outpoint in view.coins for outpoint in live.inputs):
        raise NotYet("the loss of a coin of the payout that is to be replaced")
    values = {outpoint: view.coins[outpoint].value for outpoint in inputs}
    dispensable = [value for outpoint, value in values.items() if live is None or outpoint != live.anchor]
    owed = sum(withdrawal.amount for withdrawal in withdrawals)
    if dispensable and sum(values.values()) - min(dispensable) >= owed + TAPROOT_DUST:
        raise MalformedProposal("inputs", "are more coins than the withdrawals need")
