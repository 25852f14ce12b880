"""A swap's lock, as the Escrow has it and as the machines see it."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from adapters.evm.escrow.types import PointTerms, Terms
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, Satoshi, TokenUnits
from registry.caip import ChainId, evm_chain
from registry.chains import Chain
from settlement.swap.evm.site import EscrowSite
from settlement.swap.evm.terms import lock_terms, opens, terms_of, view_of
from settlement.swap.machine.facts import expected_lock
from settlement.swap.terms import BitcoinLeg, EvmLeg, Mode, SwapTerms, point_condition
from tests.support.swap_evm import T1, T2, account_of, bytes_of, hash_terms, key_of, point_terms, secret_of, site_of

SITE = site_of()
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def swap(mode: Mode) -> SwapTerms:
    """A swap of 1,000 base units."""
    is_hash = mode is Mode.HASH
    point = b"" if is_hash else secret_of("secret").point().to_bytes()
    condition = hash_terms(bytes(32)).condition if is_hash else point_condition(point)
    claimer, namer = key_of("claimer"), key_of("claimer" if is_hash else "namer")
    bitcoin = BitcoinLeg(ChainId("bip122", "00" * 16), Satoshi(10_000), claimer, key_of("refunder"), T2, 1)
    people = (account_of("initiator"), account_of("follower"), account_of("initiator"))
    evm = EvmLeg(evm_chain(31_337), SITE.escrow, namer, *people, bytes(20), TokenUnits(1_000), T1, 2)
    return SwapTerms(mode, condition, point, b"\x0f" * 32, bitcoin, evm, T2 - 3_600)


@pytest.mark.parametrize("mode", list(Mode))
def test_lock_of_a_swap_is_the_one_that_its_machines_expect(mode: Mode) -> None:
    """The lock that is made from a swap's terms is, read back, the lock that both machines wait for."""
    terms = lock_terms(swap(mode))
    assert isinstance(terms, Terms if mode is Mode.HASH else PointTerms)
    view = view_of(SITE, terms)
    assert view == expected_lock(swap(mode))
    assert terms_of(SITE, view) == terms


def test_locks_of_both_kinds_with_the_same_words_are_told_apart() -> None:
    """A hash lock whose condition is a point's account behind zeros is another view, and other terms."""
    point = point_terms(key_of("namer"))
    trap = hash_terms(key_of("namer"), condition=bytes(12) + point.point)
    assert view_of(SITE, point) != view_of(SITE, trap)
    assert terms_of(SITE, view_of(SITE, trap)) == trap != point


@pytest.mark.parametrize(
    "other",
    [{"chain": "eip155:1"}, {"escrow": b"\x11" * 20}, {"mode": Mode.POINT, "condition": b"\x01" * 32}],
)
def test_view_of_elsewhere_is_no_lock_here(other: dict[str, object]) -> None:
    """Another chain's lock, another contract's, or one of an impossible condition is refused."""
    view = msgspec.structs.replace(view_of(SITE, hash_terms(key_of("namer"))), **other)
    with pytest.raises(BadInput):
        terms_of(SITE, view)


def test_secret_opens_its_lock_alone() -> None:
    """The preimage opens the hash lock, the scalar the point lock; nothing else does, of whatever length."""
    for terms in (hash_terms(key_of("namer")), point_terms(key_of("namer"))):
        assert opens(terms, bytes_of("secret"))
        negated = secret_of("secret").negate().to_bytes()
        for wrong in (
            bytes_of("other"),
            negated,
            bytes(32),
            ORDER.to_bytes(32, "big"),
            b"",
            bytes_of("secret") + b"\0",
        ):
            assert not opens(terms, wrong)


def test_site_is_an_escrow_on_an_evm_chain() -> None:
    """A bitcoin chain, or no contract's address, is no place for an EVM leg."""
    bitcoin = Chain.named(ChainId("bip122", "00" * 16), b"\x01" * 32, 1)
    with pytest.raises(BadInput):
        EscrowSite(bitcoin, b"\x10" * 20, BlockHeight(0))
    with pytest.raises(BadInput):
        replace(SITE, escrow=bytes(20))
    assert SITE.number == 31_337
