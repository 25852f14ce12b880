"""Hub: what minting costs, bounded: every deposit needs attestations, so they have to be cheap."""

from __future__ import annotations

from benchmarks.bench_contracts import MINT_TARGET, SIGNATURE_TARGET, chain_of_its_own, mint_gas
from tests.support.native_contracts import World, account, build_world, join


def world_of_five() -> World:
    """A bridge with five vouchers, so that four of them are enough."""
    world = build_world()
    fifth = account("voucher-4")
    join(world, fifth)
    world.vouchers = sorted([*world.vouchers, fifth], key=lambda one: int(one.address, 16))
    return world


def test_mint_with_four_signatures_is_bounded() -> None:
    """Four signatures take at most 180,000 gas, one more at most 9,000, with a fee and also where a limit counts."""
    with chain_of_its_own():
        world = world_of_five()
        for limit in (0, 10**12):
            world.set_policy(fee_bps=10, deposit_limit=limit)
            for signers in (4, 5):
                mint_gas(world, f"first-{signers}-{limit}", signers)
            four, five = mint_gas(world, f"four-{limit}", 4), mint_gas(world, f"five-{limit}", 5)
            assert five - four <= SIGNATURE_TARGET
            assert four <= MINT_TARGET
