"""Terms of a swap for tests: 1 BTC for 20 ether, on regtest and anvil."""

from __future__ import annotations

import hashlib

from coincurve import PrivateKey

from foundation.quantities import Satoshi, TokenUnits
from registry.caip import BitcoinGenesis, bitcoin_chain, evm_chain
from settlement.swap.planning.conditions import conditions_for
from settlement.swap.planning.plan import plan
from settlement.swap.terms import BitcoinLeg, EvmLeg, Mode, SwapTerms, point_condition

NOW = 1_800_000_000
SECRET = b"\x07" * 32
POINT = PrivateKey(SECRET).public_key.format()
REGTEST = bitcoin_chain(BitcoinGenesis.REGTEST.value)
MAINNET = bitcoin_chain(BitcoinGenesis.MAIN.value)
ANVIL = evm_chain(31337)
ETHEREUM = evm_chain(1)


def key(number: int) -> bytes:
    """An x-only key, 32 bytes."""
    return PrivateKey(bytes([number]) * 32).public_key.format()[1:]


def swap_terms(mode: Mode = Mode.HASH, *, bitcoin=REGTEST, evm=ANVIL, amount=10**8, now=NOW) -> SwapTerms:
    """Terms as the planner of a maker gives them."""
    wanted = plan(Satoshi(amount), now, conditions_for(bitcoin, evm))
    point = POINT if mode is Mode.POINT else b""
    return SwapTerms(
        mode=mode,
        condition=point_condition(point) if point else hashlib.sha256(SECRET).digest(),
        point=point,
        offer_id=b"o" * 32,
        bitcoin=BitcoinLeg(
            bitcoin, Satoshi(amount), key(1), key(2), wanted.bitcoin_expires_at, wanted.bitcoin_confirmations
        ),
        evm=EvmLeg(
            chain=evm,
            escrow=b"e" * 20,
            lock_id=key(3) if point else key(1),
            payer=b"p" * 20,
            beneficiary=b"b" * 20,
            refund_to=b"r" * 20,
            asset=bytes(20),
            amount=TokenUnits(20 * 10**18),
            expires_at=wanted.evm_expires_at,
            confirmations=wanted.evm_confirmations,
        ),
        agreed_at=now,
    )
