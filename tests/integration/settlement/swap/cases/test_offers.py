"""Offers that are not to be taken, and terms that are not to be accepted: refused before any money moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from adapters.evm.errors import WrongChain
from foundation.errors import CausewayError
from foundation.quantities import BlockHeight, Satoshi, TokenUnits
from registry.caip import evm_chain
from registry.chains import Chain
from settlement.swap.engine.correspondence import Correspondence
from settlement.swap.engine.market import NotEnough
from settlement.swap.engine.settings import TraderSettings
from settlement.swap.engine.trading import OfferUnknown
from settlement.swap.handshake import sign_terms
from settlement.swap.letters.bodies import Accept, Body
from settlement.swap.offers import OfferDamaged, OfferExpired, SignedOffer
from settlement.swap.planning.errors import UnsafeTerms
from settlement.swap.store.store import Peer, TakingState
from settlement.swap.terms import SwapTerms
from tests.support.swap_cases import NOTHING, Case, OpenCase, Side

pytestmark = pytest.mark.integration


async def test_link_was_tampered_with(case: OpenCase) -> None:
    """Whatever character of it changes, it is no offer of its maker's any more."""
    async with case() as swap:
        await swap.follower.work(runs=False)
        text = (await swap.offered(swap.follower)).text
        for at in range(14, len(text), 40):
            changed = text[:at] + ("a" if text[at] != "a" else "b") + text[at + 1 :]
            with pytest.raises(OfferDamaged):
                SignedOffer.read(changed)


def resigned(side: Side, signed: SignedOffer, **other: Any) -> SignedOffer:
    """What the maker might have signed instead."""
    assert side.engine is not None
    secrets = side.engine.keys.swap(0)
    return SignedOffer.sign(replace(signed.offer, **other), secrets.identity)


UNKNOWN: dict[str, dict[str, Any]] = {
    "asset": {"asset": b"\x33" * 20},
    "escrow": {"escrow": b"\x33" * 20},
    "evm_chain": {"evm_chain": evm_chain(5)},
    "satoshi": {"satoshi": Satoshi(1_000)},
}


@pytest.mark.parametrize("field", UNKNOWN)
async def test_offer_is_of_what_is_not_known(case: OpenCase, field: str) -> None:
    """An asset, a contract or a chain that is not in swap.toml, or an amount that fees would eat: refused by name."""
    async with case() as swap:
        engine = await swap.initiator.work(runs=False)
        await swap.follower.work(runs=False)
        signed = resigned(swap.follower, await swap.offered(swap.follower), **UNKNOWN[field])
        with pytest.raises((OfferUnknown, UnsafeTerms)) as refusal:
            await engine.trading.take(signed)
        assert field in str(refusal.value.field).replace("bitcoin.amount", "satoshi")
        await nothing_happened(swap)


async def test_offer_has_expired(case: OpenCase) -> None:
    """Its time is over by the taker's clock."""
    async with case() as swap:
        engine = await swap.initiator.work(runs=False)
        await swap.follower.work(runs=False)
        signed = await swap.offered(swap.follower)
        swap.chains.clock.ahead_s += 600
        with pytest.raises(OfferExpired):
            await engine.trading.take(signed)
        await nothing_happened(swap)


async def test_offer_is_too_large(case: OpenCase) -> None:
    """The taker has not as much: it is told so before it says a word to the maker."""
    async with case() as swap:
        engine = await swap.initiator.work(runs=False)
        await swap.follower.work(runs=False)
        signed = resigned(swap.follower, await swap.offered(swap.follower), amount=TokenUnits(10**30))
        with pytest.raises(NotEnough):
            await engine.trading.take(signed)
        await nothing_happened(swap)


async def test_money_is_promised_already(case: OpenCase) -> None:
    """A taker that has said yes to so many that the next one is beyond what it has: it is told so, and says nothing."""
    async with case() as swap:
        engine = await swap.initiator.work(runs=False)
        await swap.follower.work(runs=False)
        signed = await swap.offered(swap.follower)
        most = TokenUnits(await engine.desk.evm.funds(signed.offer.asset) * 2 // 3)
        first, second = (resigned(swap.follower, signed, amount=most, salt=bytes([one] * 16)) for one in range(2))
        await engine.trading.take(first)
        with pytest.raises(NotEnough):
            await engine.trading.take(second)


async def test_node_serves_another_chain(case: OpenCase) -> None:
    """The EVM node's first block is not that of swap.toml: nothing is taken through it."""
    async with case() as swap:
        tune = swap.initiator.person.tune

        def astray(settings: TraderSettings) -> TraderSettings:
            chain = Chain.named(settings.evm_chain, b"\x44" * 32, 1)
            return replace(tune(settings), site=replace(settings.site, chain=chain))

        swap.initiator.person.tune = astray
        engine = await swap.initiator.work(runs=False)
        await swap.follower.work(runs=False)
        signed = await swap.offered(swap.follower)
        with pytest.raises(WrongChain):
            await engine.trading.take(signed)
        await nothing_happened(swap)


async def test_contract_is_another_one(case: OpenCase) -> None:
    """Both name a contract that is no Escrow: whoever takes the offer finds out."""
    async with case() as swap:
        token = swap.chains.evm.config.token
        for side in swap.sides.values():
            known = side.person.tune
            side.person.tune = lambda settings, known=known: replace(
                known(settings), site=replace(settings.site, escrow=token, start=BlockHeight(0))
            )
        engine = await swap.initiator.work(runs=False)
        await swap.follower.work(runs=False)
        with pytest.raises(CausewayError, match="Escrow"):
            await engine.trading.take(await swap.offered(swap.follower))
        await nothing_happened(swap)


def shorter(terms: SwapTerms) -> SwapTerms:
    """The lock ends when the follower may not have its bitcoin back yet."""
    return replace(terms, evm=replace(terms.evm, expires_at=terms.bitcoin.expires_at + 5))


def earlier(terms: SwapTerms) -> SwapTerms:
    """The follower's refund comes before anybody could have claimed."""
    expires_at = terms.agreed_at + 20
    return replace(terms, bitcoin=replace(terms.bitcoin, expires_at=expires_at))


def dearer(terms: SwapTerms) -> SwapTerms:
    """More of the EVM asset than was offered."""
    return replace(terms, evm=replace(terms.evm, amount=TokenUnits(terms.evm.amount + 1)))


def elsewhere(terms: SwapTerms) -> SwapTerms:
    """A contract that the offer does not name."""
    return replace(terms, evm=replace(terms.evm, escrow=b"\x55" * 20))


def abroad(terms: SwapTerms) -> SwapTerms:
    """Another chain's contract."""
    return replace(terms, evm=replace(terms.evm, chain=evm_chain(5)))


def less(terms: SwapTerms) -> SwapTerms:
    """Less bitcoin than was offered."""
    return replace(terms, bitcoin=replace(terms.bitcoin, amount=Satoshi(terms.bitcoin.amount - 1)))


LIES = {
    shorter: "evm.expires_at",
    earlier: "bitcoin.expires_at",
    dearer: "evm",
    elsewhere: "evm",
    abroad: "evm",
    less: "bitcoin",
}
"""What a maker might answer, and the field by which it is refused."""


@pytest.mark.parametrize("lie", LIES)
async def test_maker_answers_with_other_terms(
    case: OpenCase, lie: Callable[[SwapTerms], SwapTerms], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The taker compares every field with the offer and plans the time-outs itself: it signs nothing else."""
    send = Correspondence.send

    async def lying(post: Correspondence, index: int, peer: Peer, subject: bytes, body: Body) -> None:
        if isinstance(body, Accept):
            terms = lie(SwapTerms.decode(body.terms))
            signature = sign_terms(terms.swap_id, post._keys.swap(index).identity)  # noqa: SLF001
            body = Accept(terms.encoded, signature)
        await send(post, index, peer, subject, body)

    monkeypatch.setattr(Correspondence, "send", lying)
    async with case() as swap:
        for side in swap.sides.values():
            await side.work()
        maker, taker = swap.follower, swap.initiator
        if lie is shorter:  # which harms a follower
            maker, taker = taker, maker
        taking = await swap.taken(await swap.offered(maker), taker)
        assert taking.state is TakingState.REFUSED
        assert LIES[lie] in taking.problem
        await maker.vanish()
        assert not await taker.engine.office.swaps()
        assert await swap.gains() == (NOTHING, NOTHING)


async def nothing_happened(swap: Case) -> None:
    """Neither side has a swap, nor less money."""
    for side in swap.sides.values():
        assert side.engine is not None
        assert not await side.engine.office.swaps()
    assert await swap.gains() == (NOTHING, NOTHING)
