"""A locked deposit's machine: final as soon as it is seen, held once it is minted, sent back by its vault otherwise."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.deposits import (
    REFUSAL_CODES,
    Alarm,
    Barred,
    Change,
    Deposit,
    Effect,
    Lock,
    Minted,
    MintedAndBarred,
    Note,
    Purpose,
    Refusal,
    Seen,
    Spend,
    Spent,
    Stage,
    Terms,
    Tip,
    refusal,
    step,
)
from bridge.tiers import Tier, Tiers
from foundation.quantities import BlockHeight, TokenUnits

ETH = 10**18
CHAIN = "eip155:1"
NOBODY = frozenset({b"h" * 20, bytes(20)})
TERMS = Terms(
    Tiers((Tier(None, 1),)),
    minimum=TokenUnits(ETH),
    paused=False,
    mint_margin=0,
    settled_depth=1,
    limit=TokenUnits(100 * ETH),
    cannot_receive=NOBODY,
)
LOCK = Lock(3, b"s" * 20, bytes(20), b"t" * 32, CHAIN)
DEPOSIT = Deposit(
    deposit_id=b"d" * 32,
    asset=b"a" * 32,
    group=b"g" * 32,
    txid=b"l" * 32,
    vout=0,
    amount=TokenUnits(10 * ETH),
    recipient=b"r" * 20,
    script=b"v" * 20,
    delay=0,
    height=BlockHeight(10),
    lock=LOCK,
)
UNSEEN = replace(DEPOSIT, script=b"", height=None, lock=None, stage=Stage.MISSING)
MINT = Minted(TokenUnits(9 * ETH), b"mint", "9 ETH")
BAR = Barred(b"bar")
RETURN = Spent(Spend(b"back", BlockHeight(20), Purpose.RETURN))


def tip(height: int = 10, terms: Terms = TERMS) -> Tip:
    return Tip(BlockHeight(height), terms)


def run(*changes: Change, start: Deposit = DEPOSIT) -> tuple[Deposit, list[Effect]]:
    """The deposit after all changes, each given twice: the second time nothing may happen."""
    state, effects = start, list[Effect]()
    for change in changes:
        state, new = step(state, change)
        effects += new
        assert step(state, change) == (state, ()), f"{change} is not harmless again"
    return state, effects


def stage(*changes: Change, start: Deposit = DEPOSIT) -> Stage:
    return run(*changes, start=start)[0].stage


def alarms(effects: list[Effect]) -> list[str]:
    return [effect.text for effect in effects if isinstance(effect, Alarm)]


def completed(deposit: Deposit) -> Deposit:
    """A deposit that was known from the Hub alone, once its lock is read."""
    return replace(deposit, script=DEPOSIT.script, lock=LOCK)


def test_a_lock_is_final_when_it_is_seen_and_held_when_it_is_minted() -> None:
    """The vault tells final things alone, and has what it needs from the lock on: there is nothing to sweep."""
    state, effects = run(tip(), MINT, tip(30))
    assert (state.stage, state.minted) == (Stage.HELD, 9 * ETH)
    assert [effect.text for effect in effects] == ["final", "minted 9 ETH"]
    assert stage(tip()) is Stage.FINAL
    assert DEPOSIT.origin == (LOCK.transaction, CHAIN)


def test_a_mint_of_a_coin_is_not_held() -> None:
    """A deposit without a lock is on bitcoin: it is swept first."""
    assert stage(tip(), MINT, start=replace(DEPOSIT, lock=None, delay=100)) is Stage.MINTED


@pytest.mark.parametrize(
    ("terms", "deposit", "reason"),
    [
        (replace(TERMS, minimum=TokenUnits(10 * ETH + 1)), DEPOSIT, Refusal.BELOW_MINIMUM),
        (replace(TERMS, paused=True), DEPOSIT, Refusal.ASSET_PAUSED),
        (replace(TERMS, denied=True), DEPOSIT, Refusal.ASSET_DENIED),
        (replace(TERMS, limit=TokenUnits(10 * ETH - 1)), DEPOSIT, Refusal.ABOVE_LIMIT),
        (TERMS, replace(DEPOSIT, recipient=b"h" * 20), Refusal.BAD_RECIPIENT),
        (TERMS, replace(DEPOSIT, recipient=bytes(20)), Refusal.BAD_RECIPIENT),
    ],
)
def test_a_lock_that_must_not_be_minted_is_refused_and_goes_back(
    terms: Terms, deposit: Deposit, reason: Refusal
) -> None:
    """Too small or too large, of a paused or denied asset, for nobody: refused, barred, and returned by the vault."""
    state, effects = run(tip(10, terms), start=deposit)
    assert (state.stage, state.refusal) == (Stage.REFUSED, reason)
    assert [effect.text for effect in effects] == [f"final, refused: {reason}"]
    barred, _ = run(BAR, tip(11, terms), start=state)
    assert (barred.stage, barred.refusal) == (Stage.RETURNING, reason)
    returned, told = run(RETURN, tip(20, terms), start=barred)
    assert (returned.stage, returned.refusal) == (Stage.RETURNED, reason)
    assert alarms(told) == []


@pytest.mark.parametrize(
    "terms",
    [
        replace(TERMS, minimum=DEPOSIT.amount),
        replace(TERMS, limit=DEPOSIT.amount),
        replace(TERMS, limit=TokenUnits(0)),
    ],
)
def test_the_bounds_are_exact(terms: Terms) -> None:
    """The minimum and the limit themselves are taken; a limit of zero is none."""
    assert refusal(DEPOSIT, BlockHeight(10), terms) is None


def test_the_hub_has_a_number_for_each_refusal() -> None:
    """Every reason can be told to the Hub, and by another number than the others."""
    assert set(REFUSAL_CODES) == set(Refusal)
    assert len(set(REFUSAL_CODES.values())) == len(Refusal)


def test_a_lock_waits_for_no_reclaim() -> None:
    """Nobody can take a lock back alone: however old it is, it is minted."""
    assert stage(tip(10**6)) is Stage.FINAL


def test_a_lock_of_an_unknown_asset_waits_until_it_is_registered() -> None:
    """It is neither attested nor refused: the vouchers introduce its asset first."""
    unknown = replace(TERMS, known=False, paused=True)
    state, effects = run(tip(10, unknown), tip(99, unknown))
    assert (state, effects) == (DEPOSIT, [])
    assert stage(tip(10, unknown), tip(99)) is Stage.FINAL
    assert stage(tip(10, unknown), tip(99, replace(TERMS, paused=True))) is Stage.REFUSED


def test_what_decides_may_change_until_the_hub_has_decided() -> None:
    """A pause refuses a final lock and its end makes it final again; once it is held nothing does."""
    paused = tip(11, replace(TERMS, paused=True))
    assert stage(tip(), paused) is Stage.REFUSED
    assert run(tip(), paused, tip(12))[0] == run(tip())[0]
    assert stage(tip(), MINT, paused) is Stage.HELD


def test_the_hub_may_speak_of_a_lock_that_is_not_seen_yet() -> None:
    """A node behind on the origin chain hears of the mint first; with the lock the deposit is as it would have been."""
    minted, effects = run(MINT, tip(), start=UNSEEN)
    assert minted.stage is Stage.MINTED
    assert all(isinstance(effect, Note) for effect in effects)
    held, told = run(Seen(BlockHeight(10)), tip(), start=completed(minted))
    assert held == run(tip(), MINT)[0]
    assert alarms(told) == []


def test_the_hub_may_bar_a_lock_that_is_not_seen_yet() -> None:
    """The same for a bar: the vault's release ends it, whenever the lock is read."""
    barred, _ = run(BAR, start=UNSEEN)
    assert barred.stage is Stage.RETURNING
    assert stage(Seen(BlockHeight(10)), tip(), start=completed(barred)) is Stage.RETURNING
    assert stage(Seen(BlockHeight(10)), RETURN, tip(20), start=completed(barred)) is Stage.RETURNED


def test_a_return_may_be_seen_before_the_bar() -> None:
    """A node behind on the native chain sees the vault's release first, and ends where the others do."""
    state, effects = run(tip(), RETURN, tip(20), BAR, tip(21))
    other, _ = run(tip(), BAR, RETURN, tip(20))
    assert state == other
    assert state.stage is Stage.RETURNED
    assert alarms(effects) == []


@pytest.mark.parametrize("changes", [(MINT, RETURN), (RETURN, MINT)])
def test_a_lock_that_is_minted_and_sent_back_is_an_alarm(changes: tuple[Change, ...]) -> None:
    """The vault has let go of what backs tokens: operators hear of it once, whichever came first."""
    state, effects = run(tip(), *changes, tip(20))
    assert state.stage is Stage.RETURNED
    (told,) = alarms(effects)
    assert "was minted and its coin was sent elsewhere" in told


def test_minted_and_barred_is_fatal_in_either_order() -> None:
    """The Hub decides one way for ever; a node that reads both stops instead of guessing."""
    for first, second in ((MINT, BAR), (BAR, MINT)):
        with pytest.raises(MintedAndBarred):
            run(tip(), first, second)


def test_held_needs_a_lock_and_a_mint() -> None:
    """The machine refuses to call anything held that nobody locked, or nobody minted."""
    for wrong in (
        replace(DEPOSIT, stage=Stage.HELD),
        replace(
            DEPOSIT,
            stage=Stage.HELD,
            lock=None,
            minted=TokenUnits(1),
            mint_transaction=b"mint",
            return_transaction=None,
        ),
    ):
        with pytest.raises(AssertionError):
            step(wrong, Seen(BlockHeight(10)))
