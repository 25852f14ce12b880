"""A deposit's machine: the journey, reorgs at every stage, and the two chains' events in any order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.deposits import (
    Alarm,
    Barred,
    Change,
    Deposit,
    Dropped,
    Effect,
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
    Unspent,
    refusal,
    step,
)
from bridge.tiers import Tier, Tiers
from foundation.quantities import BlockHeight, Satoshi, TokenUnits

TIERS = Tiers((Tier(Satoshi(1_000_000), 2), Tier(None, 4)))
TERMS = Terms(TIERS, minimum=Satoshi(10_000), paused=False, mint_margin=20, settled_depth=3)
DEPOSIT = Deposit(
    deposit_id=bytes([1]) * 32,
    asset=bytes([2]) * 32,
    group=bytes([3]) * 32,
    txid=bytes([4]) * 32,
    vout=0,
    amount=Satoshi(500_000),
    recipient=bytes([5]) * 20,
    script=b"\x51\x20" + bytes([6]) * 32,
    delay=100,
    height=BlockHeight(10),
)
MINT = Minted(TokenUnits(499_000), b"mint", "0.00499 BTC")
BAR = Barred(b"bar")
ENDS = {Purpose.SWEEP: Stage.SWEPT, Purpose.RETURN: Stage.RETURNED, Purpose.RECLAIM: Stage.RECLAIMED}


def seen(height: int) -> Seen:
    return Seen(BlockHeight(height))


def tip(height: int, terms: Terms = TERMS) -> Tip:
    return Tip(BlockHeight(height), terms)


def spent(purpose: Purpose, height: int, txid: bytes = b"spender") -> Spent:
    return Spent(Spend(txid, BlockHeight(height), purpose))


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


def alarms(*changes: Change, start: Deposit = DEPOSIT) -> list[str]:
    return [effect.text for effect in run(*changes, start=start)[1] if isinstance(effect, Alarm)]


def test_a_deposit_goes_from_its_block_to_the_vault() -> None:
    """Confirming, final, minted, sweeping, swept: each from the evidence that it needs, and nothing earlier."""
    state, effects = run(tip(10))
    assert (state.stage, effects) == (Stage.CONFIRMING, [])
    assert stage(tip(10), tip(11)) is Stage.FINAL
    assert stage(tip(11), MINT) is Stage.MINTED
    assert stage(tip(11), MINT, spent(Purpose.SWEEP, 13), tip(14)) is Stage.SWEEPING
    state, effects = run(tip(11), MINT, spent(Purpose.SWEEP, 13), tip(15))
    assert state.stage is Stage.SWEPT
    assert [effect.text for effect in effects] == [
        "final with 2 of 2 confirmations",
        "minted 0.00499 BTC",
        "sweep in block 13",
        "swept, final",
    ]


def test_a_larger_amount_waits_longer() -> None:
    """The tier of the amount decides: here four confirmations instead of two."""
    large = replace(DEPOSIT, amount=Satoshi(1_000_001))
    assert stage(tip(12), start=large) is Stage.CONFIRMING
    assert stage(tip(13), start=large) is Stage.FINAL


@pytest.mark.parametrize(
    ("terms", "tip_height", "reason"),
    [
        (replace(TERMS, minimum=Satoshi(500_001)), 11, Refusal.BELOW_MINIMUM),
        (replace(TERMS, paused=True), 11, Refusal.ASSET_PAUSED),
        (TERMS, 91, Refusal.RECLAIM_TOO_NEAR),
    ],
)
def test_a_final_deposit_that_must_not_be_minted_is_refused_with_the_reason(
    terms: Terms, tip_height: int, reason: Refusal
) -> None:
    """Too small, paused, or too near the reclaim: refused, returned once the Hub has barred it, and shown as such."""
    state, _ = run(tip(tip_height, terms))
    assert (state.stage, state.refusal) == (Stage.REFUSED, reason)
    barred, _ = run(BAR, start=state)
    assert (barred.stage, barred.refusal) == (Stage.RETURNING, reason)
    returned, _ = run(spent(Purpose.RETURN, 92), tip(94, terms), start=barred)
    assert (returned.stage, returned.refusal) == (Stage.RETURNED, reason)


def test_the_margin_before_the_reclaim_is_exact() -> None:
    """With the margin's blocks left it is minted; with one fewer it is refused."""
    assert DEPOSIT.reclaim_height == 110
    assert refusal(DEPOSIT, BlockHeight(90), TERMS) is None
    assert refusal(DEPOSIT, BlockHeight(91), TERMS) is Refusal.RECLAIM_TOO_NEAR
    assert refusal(replace(DEPOSIT, height=None), BlockHeight(90), TERMS) is Refusal.RECLAIM_TOO_NEAR


def test_what_decides_may_change_until_the_hub_has_decided() -> None:
    """A pause refuses a final deposit and its end makes it final again; after the mint a pause changes nothing."""
    paused = replace(TERMS, paused=True)
    assert stage(tip(11), tip(12, paused)) is Stage.REFUSED
    state, _ = run(tip(11), tip(12, paused), tip(13))
    assert (state.stage, state.refusal) == (Stage.FINAL, None)
    assert stage(tip(11), MINT, tip(12, paused)) is Stage.MINTED


def test_a_coin_that_a_reorg_takes_away_is_missing_until_it_is_seen_again() -> None:
    """Nothing is final without its block; the confirmations are counted anew from the new one."""
    assert stage(tip(11), Dropped()) is Stage.MISSING
    assert stage(tip(11), Dropped(), tip(20)) is Stage.MISSING
    state, _ = run(tip(11), Dropped(), seen(14), tip(14))
    assert (state.stage, state.height) == (Stage.CONFIRMING, 14)
    assert stage(tip(11), Dropped(), seen(14), tip(15)) is Stage.FINAL


def test_a_coin_that_moves_to_another_block_is_not_final_until_its_depth_is_known() -> None:
    """Finality belongs to a block: in another one it has to be seen again, whatever stage it was in."""
    assert stage(tip(11), seen(12)) is Stage.CONFIRMING
    assert stage(tip(11, replace(TERMS, paused=True)), seen(12)) is Stage.CONFIRMING


def test_a_tip_that_falls_back_takes_finality_away() -> None:
    """After a reorg to a shorter chain with the coin's block in it, the deposit confirms again."""
    assert stage(tip(11), tip(10)) is Stage.CONFIRMING


def test_a_minted_deposit_whose_coin_leaves_the_chain_is_an_alarm_and_stays_minted() -> None:
    """The Hub's mint is final; the coin counts again from wherever it confirms anew."""
    state, _ = run(tip(11), MINT, Dropped())
    assert (state.stage, state.height, state.minted) == (Stage.MINTED, None, 499_000)
    assert alarms(tip(11), MINT, Dropped()) == [
        f"deposit {DEPOSIT.deposit_id.hex()} was minted and its coin left the chain"
    ]
    again, _ = run(seen(15), tip(16), start=state)
    assert (again.stage, again.height) == (Stage.MINTED, 15)
    assert stage(spent(Purpose.SWEEP, 17), tip(19), start=again) is Stage.SWEPT


@pytest.mark.parametrize("purpose", list(Purpose))
@pytest.mark.parametrize("decided", [None, MINT, BAR])
def test_a_final_spend_that_a_reorg_takes_away_goes_back_and_ends_again(
    purpose: Purpose, decided: Change | None
) -> None:
    """Whatever the Hub decided, the deposit is where it was before the spend, and a new spend ends it as it should."""
    before, _ = run(tip(11), *([decided] if decided else []))
    ended, _ = run(spent(purpose, 13), tip(15), start=before)
    assert ended.stage is ENDS[purpose]
    back, _ = run(Unspent(), tip(15), start=ended)
    assert back == before
    for other in Purpose:
        state, _ = run(spent(other, 16, b"other"), tip(18), start=back)
        assert state.stage is ENDS[other]


@pytest.mark.parametrize("purpose", list(Purpose))
def test_a_spend_that_moves_to_another_block_has_not_ended_yet(purpose: Purpose) -> None:
    """A deposit is over when the spend in the chain now is deep enough, not because one once was."""
    ended, _ = run(tip(11), MINT, spent(purpose, 13), tip(15))
    moved, _ = run(spent(purpose, 15), tip(16), start=ended)
    assert moved.stage is (Stage.SWEEPING if purpose is Purpose.SWEEP else Stage.MINTED)
    assert stage(tip(17), start=moved) is ENDS[purpose]


def test_a_reclaim_ends_nothing_before_it_is_final_and_stops_the_mint() -> None:
    """A spent coin is nothing to attest: it is not final while the reclaim is in the chain, and is again after it."""
    assert stage(tip(11), spent(Purpose.RECLAIM, 12), tip(12)) is Stage.CONFIRMING
    assert stage(tip(11), spent(Purpose.RECLAIM, 12), tip(12), Unspent(), tip(12)) is Stage.FINAL
    assert stage(tip(11), spent(Purpose.RECLAIM, 12), tip(14)) is Stage.RECLAIMED


def test_a_sweep_in_the_chain_that_a_reorg_takes_away_is_swept_again() -> None:
    """Sweeping goes back to minted, from where storemen sweep."""
    state, _ = run(tip(11), MINT, spent(Purpose.SWEEP, 12), tip(12), Unspent())
    assert (state.stage, state.spend) == (Stage.MINTED, None)


def test_a_reorg_of_coin_and_spend_undoes_both() -> None:
    """The spend cannot outlive the coin that it spends, told of it or not."""
    told, _ = run(tip(11), spent(Purpose.RECLAIM, 12), Unspent(), Dropped())
    untold, _ = run(tip(11), spent(Purpose.RECLAIM, 12), Dropped())
    assert told == untold == replace(DEPOSIT, stage=Stage.MISSING, height=None)


@pytest.mark.parametrize("decision", [MINT, BAR])
@pytest.mark.parametrize("purpose", list(Purpose))
def test_the_order_between_the_chains_does_not_matter(decision: Change, purpose: Purpose) -> None:
    """A node that learns of the spend before the Hub's decision ends in the same state, with the same alarms."""
    hub_first = run(tip(11), decision, spent(purpose, 13), tip(15))
    coin_first = run(tip(11), spent(purpose, 13), decision, tip(15))
    late = run(tip(11), spent(purpose, 13), tip(15), decision)
    assert hub_first[0] == coin_first[0] == late[0]
    told = [sorted(e.text for e in effects if isinstance(e, Alarm)) for _, effects in (hub_first, coin_first, late)]
    assert told[0] == told[1] == told[2]


@pytest.mark.parametrize(
    ("decision", "purpose", "words"),
    [
        (MINT, Purpose.RECLAIM, "was minted and then reclaimed"),
        (MINT, Purpose.RETURN, "was minted and its coin was sent elsewhere"),
        (BAR, Purpose.SWEEP, "was barred and its coin was swept"),
    ],
)
def test_a_spend_that_contradicts_the_hub_raises_one_alarm(decision: Change, purpose: Purpose, words: str) -> None:
    """Operators hear of it once, however the chain moves the spend about."""
    told = alarms(tip(11), decision, spent(purpose, 13), spent(purpose, 14), tip(30))
    assert len(told) == 1
    assert words in told[0]


@pytest.mark.parametrize(
    ("decision", "purpose"), [(MINT, Purpose.SWEEP), (BAR, Purpose.RETURN), (BAR, Purpose.RECLAIM)]
)
def test_a_spend_that_fits_raises_no_alarm(decision: Change, purpose: Purpose) -> None:
    """A sweep of what was minted, a return or a reclaim of what was barred, are as they should be."""
    assert alarms(tip(11), decision, spent(purpose, 13), tip(15)) == []


def test_a_deposit_known_from_the_hub_alone_waits_for_its_coin_without_alarm() -> None:
    """A node that lags behind on bitcoin hears of the mint first; the coin joins it later."""
    unknown = replace(DEPOSIT, script=b"", delay=0, height=None, stage=Stage.MISSING)
    state, effects = run(tip(5), MINT, tip(6), start=unknown)
    assert state.stage is Stage.MINTED
    assert all(isinstance(effect, Note) for effect in effects)
    whole = replace(state, script=DEPOSIT.script, delay=DEPOSIT.delay)
    assert run(seen(10), tip(11), start=whole)[0] == run(tip(11), MINT)[0]


def test_minted_and_barred_is_fatal_in_either_order() -> None:
    """The Hub decides one way for ever; a node that reads both stops instead of guessing."""
    for first, second in ((MINT, BAR), (BAR, MINT)):
        with pytest.raises(MintedAndBarred) as contradiction:
            run(tip(11), first, second)
        assert contradiction.value.deposit_id == DEPOSIT.deposit_id
