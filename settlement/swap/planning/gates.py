"""The moments that one side of a swap goes by, as the planner worked them out. The machines obey them."""

from __future__ import annotations

from msgspec import Struct


class Gates(Struct, frozen=True):
    """One side's gates. Times are seconds since 1970, spans are milliseconds.

    Fields: last_lock (from then on the initiator locks nothing); last_fund (from then on the follower funds nothing);
    last_reveal (from then on the initiator shows no secret: its claim might not be final before T2); refund_bitcoin
    (T2: the follower's refund is valid once the median time past is beyond it); claim_evm_by (the follower's claim has
    to be under way by then, or it may miss T1); refund_evm (T1: from a block of this time on the lock goes back);
    patience_ms (how long the initiator waits for the other's signature before it claims by script); resend_ms (how long
    a letter stays without an answer before it is sent again, at first); bump_bitcoin_ms, bump_evm_ms (how long a
    transaction may stay unconfirmed before it is paid more).
    """

    last_lock: int
    last_fund: int
    last_reveal: int
    refund_bitcoin: int
    claim_evm_by: int
    refund_evm: int
    patience_ms: int
    resend_ms: int
    bump_bitcoin_ms: int
    bump_evm_ms: int

    def may_lock(self, now: int) -> bool:
        """Whether the initiator may still lock. `now`: seconds, here and below."""
        return now < self.last_lock

    def may_fund(self, now: int) -> bool:
        """Whether the follower may still fund."""
        return now < self.last_fund

    def may_reveal(self, now: int) -> bool:
        """Whether the initiator may still show the secret."""
        return now < self.last_reveal
