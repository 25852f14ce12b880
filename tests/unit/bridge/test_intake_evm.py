"""Locks of vaults on EVM chains into the database, in whatever order the chains' news come, once each."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.evm.lockbox import events as lb
from adapters.evm.lockbox.types import NATIVE_COIN, RETURN
from adapters.native import events as e
from bridge.codec import encode
from bridge.deposits import Refusal, Stage
from bridge.intake.common import (
    EVERYTHING,
    SUPPLY,
    described_fact,
    epoch_fact,
    evm_cursor,
    halt_fact,
    supply_fact,
)
from bridge.ledger import balance
from bridge.messages import AssetSeen
from bridge.storage import DatabaseUnavailable, Moment, VaultAssetRow
from foundation.quantities import TokenUnits
from tests.support.bridge_evm import (
    ETH,
    EVM_GROUP,
    EVM_POLICY,
    RECIPIENT,
    SENDER,
    STRANGE_TOKEN,
    TOKEN,
    EvmSide,
)
from tests.support.bridge_intake import DEPLOYMENT, Chains, pays

AMOUNT = 10 * ETH
HUGE = 2**255 + 12_345


@pytest.fixture
async def chains(tmp_path: Path) -> AsyncIterator[Chains]:
    opened = await Chains.open(tmp_path)
    await opened.serve(opened.ethereum, assets=[opened.ethereum.token()])
    yield opened
    await opened.database.close()


async def stages(chains: Chains, *numbers: int, token: bytes = NATIVE_COIN) -> list[Stage | None]:
    found = [await chains.locked(number, token) for number in numbers]
    return [None if deposit is None else deposit.stage for deposit in found]


async def alarm_texts(chains: Chains) -> list[str]:
    return [json.loads(fields)["text"] for fields in await chains.alarms()]


async def test_a_lock_is_final_at_once_and_held_once_it_is_minted(chains: Chains) -> None:
    """The plain order: locked, minted, held; the vault's books and the journey say so."""
    await chains.evm(chains.ethereum.locked(1, AMOUNT))
    deposit = await chains.locked(1)
    assert deposit is not None
    assert (deposit.stage, deposit.amount, deposit.recipient) == (Stage.FINAL, AMOUNT, RECIPIENT)
    assert (deposit.group, deposit.txid) == (EVM_GROUP, chains.ethereum.lock_id(1))
    assert deposit.lock is not None
    assert (deposit.lock.sender, deposit.lock.number, deposit.lock.chain) == (SENDER, 1, "eip155:1")
    await chains.say(chains.mints(1, AMOUNT))
    assert await stages(chains, 1) == [Stage.HELD]
    assert await chains.held() == AMOUNT
    assert await chains.fact(supply_fact(chains.ethereum.coin.id)) == str(AMOUNT).encode()
    assert await chains.fact(SUPPLY) is None, "bitcoin's supply is another one"
    notes = [note.split(" ")[0] for note in await chains.notes(deposit.deposit_id)]
    assert notes == ["lock", "final", "minted"]
    assert await chains.alarms() == []


async def test_amounts_above_64_bits_survive_all_of_it(chains: Chains) -> None:
    """A token with absurd decimals is counted to the last unit."""
    await chains.evm(chains.ethereum.locked(1, HUGE, TOKEN))
    await chains.say(chains.mints(1, HUGE, TOKEN))
    deposit = await chains.locked(1, TOKEN)
    assert deposit is not None
    assert (deposit.stage, deposit.amount, deposit.minted) == (Stage.HELD, HUGE, HUGE)
    assert await chains.held(TOKEN) == HUGE
    assert await chains.fact(supply_fact(chains.ethereum.token().id)) == str(HUGE).encode()


@pytest.mark.parametrize("restart", [False, True])
async def test_a_mint_that_comes_before_its_lock_waits_for_it(chains: Chains, restart: bool) -> None:
    """This node's view of the origin chain is behind: the Hub's word makes a placeholder, which the lock completes."""
    await chains.say(chains.mints(1, AMOUNT))
    early = await chains.locked(1)
    assert early is not None
    assert (early.stage, early.height, early.lock) == (Stage.MINTED, None, None)
    async with chains.database.view() as view:
        assert (await balance(view)).reserves == 0, "it is no coin of bitcoin's vault"
    chains = await chains.restarted() if restart else chains
    await chains.evm(chains.ethereum.locked(1, AMOUNT))
    late = await chains.locked(1)
    assert late is not None
    assert (late.stage, late.height, late.recipient) == (Stage.HELD, 101, RECIPIENT)
    assert await chains.held() == AMOUNT
    assert await chains.alarms() == []


async def test_a_bar_that_comes_before_its_lock_waits_for_it_and_knows_its_recipient_then(chains: Chains) -> None:
    """The Hub's bar does not name the recipient: the lock does, so that nobody's true claim looks like a lie."""
    await chains.say(chains.bars(1, AMOUNT))
    await chains.evm(chains.ethereum.locked(1, AMOUNT))
    deposit = await chains.locked(1)
    assert deposit is not None
    assert (deposit.stage, deposit.recipient) == (Stage.RETURNING, RECIPIENT)


@pytest.mark.parametrize("bar_first", [True, False])
@pytest.mark.parametrize("failed", [True, False])
async def test_a_refused_lock_is_sent_back_by_its_vault(chains: Chains, bar_first: bool, failed: bool) -> None:
    """Too small: refused, barred, returned, whichever news come first, and whether its sender takes it or not."""
    side = chains.ethereum
    await chains.evm(side.locked(1, 9_999))
    deposit = await chains.locked(1)
    assert deposit is not None
    assert (deposit.stage, deposit.refusal) == (Stage.REFUSED, Refusal.BELOW_MINIMUM)
    if bar_first:
        await chains.say(chains.bars(1, 9_999))
        assert await stages(chains, 1) == [Stage.RETURNING]
    make = side.failed if failed else side.released
    await chains.evm(make(RETURN | 1, 9_999, 0, payee=SENDER))
    assert await stages(chains, 1) == [Stage.RETURNED]
    if not bar_first:
        await chains.say(chains.bars(1, 9_999))
    assert await stages(chains, 1) == [Stage.RETURNED]
    assert await chains.held() == 0
    assert await chains.alarms() == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"payee": b"e" * 20}, "otherwise than it came"),
        ({"amount": TokenUnits(9_998)}, "otherwise than it came"),
        ({"fee": TokenUnits(1)}, "otherwise than it came"),
        ({"asset": TOKEN}, "that it never had"),
        ({"number": RETURN | 2}, "that it never had"),
    ],
)
async def test_a_return_that_is_not_what_came_is_an_alarm(
    chains: Chains, changes: dict[str, object], words: str
) -> None:
    """Another payee, amount or token, a fee on top, or a lock that never was: somebody has to look."""
    await chains.evm(chains.ethereum.locked(1, 9_999), chains.ethereum.locked(9, AMOUNT))
    event = chains.ethereum.released(RETURN | 1, 9_999, 0, payee=SENDER)
    await chains.evm(replace(event, **changes))  # type: ignore[arg-type]  # the cases' fields are of several types
    assert any(words in text for text in await alarm_texts(chains))


async def test_what_is_minted_and_sent_back_is_an_alarm(chains: Chains) -> None:
    """The vault let go of what backs tokens."""
    await chains.evm(chains.ethereum.locked(1, AMOUNT))
    await chains.say(chains.mints(1, AMOUNT))
    await chains.evm(chains.ethereum.released(RETURN | 1, AMOUNT, 0, payee=SENDER))
    (text,) = await alarm_texts(chains)
    assert "was minted and its coin was sent elsewhere" in text


async def test_a_vault_that_pays_more_than_it_ever_had_is_an_alarm(chains: Chains) -> None:
    """The node's count of the vault goes below zero: it stays at zero, and operators are told."""
    await chains.evm(chains.ethereum.released(5, AMOUNT, 1))
    assert await chains.held() == 0
    assert any("more of" in text for text in await alarm_texts(chains))


@pytest.mark.parametrize(
    ("recipient", "reason"),
    [(DEPLOYMENT.hub, Refusal.BAD_RECIPIENT), (bytes(20), Refusal.BAD_RECIPIENT), (RECIPIENT, None)],
)
async def test_nothing_is_minted_to_the_hub_or_to_nobody(
    chains: Chains, recipient: bytes, reason: Refusal | None
) -> None:
    """The Hub would refuse such a mint for ever: the lock goes back instead."""
    await chains.evm(chains.ethereum.locked(1, AMOUNT, recipient=recipient))
    deposit = await chains.locked(1)
    assert deposit is not None
    assert deposit.refusal is reason


async def test_a_policy_that_changes_is_applied_to_locks_that_are_not_decided(chains: Chains) -> None:
    """A final lock is refused while its asset is paused, denied or limited, and final again after; held ones stay."""
    await chains.evm(chains.ethereum.locked(1, AMOUNT), chains.ethereum.locked(2, AMOUNT))
    await chains.say(chains.mints(2, AMOUNT))
    coin = chains.ethereum.coin
    assert chains.native.foreign[0].id == coin.id
    for changes, reason in (
        ({"paused": True}, Refusal.ASSET_PAUSED),
        ({"denied": True}, Refusal.ASSET_DENIED),
        ({"deposit_limit": TokenUnits(AMOUNT - 1)}, Refusal.ABOVE_LIMIT),
        ({}, None),
    ):
        policy = replace(EVM_POLICY, **changes)  # type: ignore[arg-type]  # the cases' fields are of several types
        chains.native.foreign[0] = replace(coin, policy=policy)
        await chains.say(e.AssetPolicyChanged(chains.at(), coin.id, policy))
        deposit = await chains.locked(1)
        assert deposit is not None
        assert deposit.refusal is reason
        assert await stages(chains, 1, 2) == [Stage.FINAL if reason is None else Stage.REFUSED, Stage.HELD]


@pytest.mark.parametrize("restart", [False, True])
async def test_a_lock_of_a_token_that_nobody_registered_waits_for_its_registration(
    chains: Chains, restart: bool
) -> None:
    """It confirms for ever; once the Registry knows the token, the deposit is final, after a restart as well."""
    token = chains.ethereum.token(STRANGE_TOKEN)
    await chains.evm(chains.ethereum.locked(1, AMOUNT, STRANGE_TOKEN))
    await chains.evm(chains.ethereum.locked(2, AMOUNT))
    assert await stages(chains, 1, token=STRANGE_TOKEN) == [Stage.CONFIRMING]
    assert await chains.held(STRANGE_TOKEN) == AMOUNT
    seen = AssetSeen(token.chain, token.caip19, token.name, token.symbol, token.decimals)
    async with chains.database.unit() as uow:
        await uow.node_meta.put(described_fact(token.id), encode(seen))
        await uow.commit()
    if restart:
        chains = await chains.restarted()
    await chains.register(token)
    assert await stages(chains, 1, token=STRANGE_TOKEN) == [Stage.FINAL]


async def test_a_batch_whose_commit_had_no_answer_is_not_counted_twice(
    chains: Chains, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same batch again changes nothing, and the agents are told of what it had done."""
    side = chains.ethereum
    batch = side.batch([side.locked(1, AMOUNT), side.locked(2, AMOUNT), side.released(1, 400, 3)])

    async def lost(moment: Moment) -> None:
        if moment is Moment.AFTER:
            raise DatabaseUnavailable("the answer was lost")

    monkeypatch.setattr(chains.database, "_commit_hook", lost)
    with pytest.raises(DatabaseUnavailable):
        await chains.intake.evm(side.chain.id, batch)
    monkeypatch.undo()
    version = chains.intake.changed.version
    for _ in range(2):
        await chains.intake.evm(side.chain.id, batch)
    assert chains.intake.changed.version > version
    assert await chains.intake.evm_cursor(side.chain.id) == batch.last
    assert await chains.held() == 2 * AMOUNT - 403
    assert len(await chains.notes(side.deposit_id(1))) == 2


async def test_a_node_goes_on_behind_the_last_block_that_it_has_stored(chains: Chains) -> None:
    """After a restart it asks for no block again; a chain that it never read begins at the beginning."""
    side = chains.ethereum
    assert await chains.intake.evm_cursor(side.chain.id) is None
    await chains.evm(side.locked(1, AMOUNT))
    last = chains.intake.evm_cursors[side.chain.id]
    again = await chains.restarted()
    assert await again.intake.evm_cursor(side.chain.id) == last
    await again.evm(side.locked(2, AMOUNT))
    assert await again.held() == 2 * AMOUNT


async def test_blocks_in_which_nothing_happened_are_written_down_now_and_then(chains: Chains) -> None:
    """An empty block is not worth a commit each time; what the node has in memory goes on."""
    side = chains.ethereum
    await chains.evm(side.locked(1, AMOUNT))
    async with chains.database.view() as view:
        stored = await view.cursors.get(evm_cursor(side.chain.id))
    version = chains.intake.changed.version
    await chains.evm()
    async with chains.database.view() as view:
        assert await view.cursors.get(evm_cursor(side.chain.id)) == stored
    assert chains.intake.evm_cursors[side.chain.id].number == side.block
    assert chains.intake.changed.version == version


async def test_what_a_vault_says_of_itself_is_kept(chains: Chains) -> None:
    """Its limits, what it denies, and the epoch of its key; what it holds is not touched by that."""
    side = chains.ethereum
    limits = TokenUnits(2**111), TokenUnits(2**110)
    await chains.evm(
        side.locked(1, AMOUNT, TOKEN),
        lb.AssetConfigured(side.at(), TOKEN, *limits, True, 4),
        lb.KeyRotated(side.at(), 3, b"k" * 32),
        lb.PaymentDelayed(side.at(), 7),
        lb.Paused(side.at(), 9),
        lb.Unpaused(side.at()),
        lb.FeeOwed(side.at(), b"c" * 20, NATIVE_COIN, TokenUnits(5)),
        lb.FeeClaimed(side.at(), b"c" * 20, NATIVE_COIN, b"d" * 20, TokenUnits(5)),
    )
    async with chains.database.view() as view:
        row = await view.vault_assets.get(side.chain.id, TOKEN)
    assert row == VaultAssetRow(side.chain.id, TOKEN, AMOUNT, *limits, True, 4)
    assert await chains.fact(epoch_fact(side.chain.id)) == b"3"


async def test_halts_and_their_ends_are_kept(chains: Chains) -> None:
    """Of one asset, and of everything."""
    coin = chains.ethereum.coin.id
    await chains.say(e.Halted(chains.at(), coin, 900), e.Halted(chains.at(), EVERYTHING, 1_000))
    assert [await chains.fact(halt_fact(asset)) for asset in (coin, EVERYTHING)] == [b"900", b"1000"]
    await chains.say(e.Resumed(chains.at(), coin))
    assert [await chains.fact(halt_fact(asset)) for asset in (coin, EVERYTHING)] == [b"0", b"1000"]


async def test_two_evm_chains_do_not_disturb_each_other(chains: Chains) -> None:
    """Locks with the same number on two chains are two deposits; each vault is counted by itself."""
    other = EvmSide(10, block=5)
    await chains.serve(other)
    await chains.evm(chains.ethereum.locked(1, AMOUNT))
    await chains.evm(other.locked(1, 2 * AMOUNT), side=other)
    mine, theirs = await chains.locked(1), await chains.locked(1, side=other)
    assert mine is not None
    assert theirs is not None
    assert (mine.amount, theirs.amount) == (AMOUNT, 2 * AMOUNT)
    assert (await chains.held(), await chains.held(side=other)) == (AMOUNT, 2 * AMOUNT)


@pytest.mark.parametrize("returned_on", [1, 10])
async def test_heights_of_one_chain_say_nothing_about_another(chains: Chains, returned_on: int) -> None:
    """A policy changes in the block that bars a deposit which its vault has sent back: it stays returned."""
    other = EvmSide(10, block=5)
    await chains.serve(other)
    sides = {1: chains.ethereum, 10: other}
    for side in sides.values():
        await chains.evm(side.locked(1, 9_999), side=side)
    side = sides[returned_on]
    await chains.evm(side.released(RETURN | 1, 9_999, 0, payee=SENDER), side=side)
    changed = e.AssetPolicyChanged(chains.at(), chains.ethereum.coin.id, EVM_POLICY)
    await chains.say(chains.bars(1, 9_999, side), changed)
    deposit = await chains.locked(1, side=side)
    assert deposit is not None
    assert deposit.stage is Stage.RETURNED


async def test_bitcoins_blocks_say_nothing_about_locks(chains: Chains) -> None:
    """A lock that waits for its asset is not decided by a bitcoin block, and bitcoin's own deposits go on beside it."""
    await chains.evm(chains.ethereum.locked(1, AMOUNT, STRANGE_TOKEN), chains.ethereum.locked(2, AMOUNT))
    terms = chains.terms()
    await chains.say(chains.announced(terms))
    paid = pays((50_000, chains.script(terms)))
    await chains.mine(paid)
    await chains.mine()
    deposit = await chains.deposit(paid.GetTxid())
    assert deposit is not None
    assert deposit.stage is Stage.FINAL
    assert await stages(chains, 1, token=STRANGE_TOKEN) == [Stage.CONFIRMING]
    assert await stages(chains, 2) == [Stage.FINAL]
