"""What both sides of a swap do at a real Escrow: each act once, whoever asks again and whatever was lost."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from typing import Any

import pytest
from eth_utils.crypto import keccak

from adapters.evm.errors import NodeUnavailable, WrongChain
from adapters.evm.escrow.calls import EscrowCalls
from adapters.evm.escrow.deploy import deploy_anchors, deploy_escrow
from adapters.evm.escrow.errors import NotOurEscrow, TooEarly, TooLate, typed_revert
from adapters.evm.escrow.provenance import check_created
from adapters.evm.escrow.types import AnyTerms
from adapters.evm.journal import VolatileJournal
from adapters.evm.lockbox.types import NATIVE_COIN
from adapters.evm.rpc import EvmRpc
from adapters.evm.sender import TxSender
from adapters.evm.types import Call
from adapters.native.eip712 import BadSignature
from foundation.errors import BadInput
from foundation.quantities import BlockHeight
from settlement.swap.evm.assets import check_asset
from settlement.swap.evm.errors import AllowanceRefused, AssetMismatch, LockEnded, LockIdTaken, LockNotThere
from settlement.swap.evm.leg import EscrowLeg
from settlement.swap.evm.memo import HASH_MEMO_BYTES, seal_memo
from settlement.swap.machine.facts import LockStatus
from tests.support.evm_escrow import DECIMALS, POLICY
from tests.support.swap_evm import bytes_of, sides_of
from tests.support.swap_locks import AMOUNT, SwapWorld, elsewhere, person

pytestmark = pytest.mark.integration

SECRET = bytes_of("secret")
kinds = pytest.mark.parametrize("is_hash", [True, False], ids=["hash", "point"])
assets = pytest.mark.parametrize("is_coin", [True, False], ids=["coin", "token"])


async def balance(world: SwapWorld, account: bytes, terms: AnyTerms) -> int:
    """What somebody has of a lock's asset."""
    leg = world.follower.leg
    return await leg.contract.balance(account, terms.asset, await leg.head())


# --- Both modes, coin and tokens --------------------------------------------------------------------------------------


@kinds
@assets
async def test_lock_is_claimed_by_its_secret(world: SwapWorld, is_hash: bool, is_coin: bool) -> None:
    """Whoever brings the secret has the follower paid exactly the amount; asking again changes nothing."""
    terms = await world.placed(is_hash, is_coin=is_coin, beneficiary=(account := secrets.token_bytes(20)))
    assert await world.follower.leg.status(terms) is LockStatus.OPEN
    assert (await world.follower.leg.claim(terms, SECRET)).transaction is not None
    assert await balance(world, account, terms) == AMOUNT
    again = [await person.leg.claim(terms, SECRET) for person in (world.follower, world.initiator)]
    assert again[1].transaction is None
    assert (await world.follower.leg.status(terms), await balance(world, account, terms)) == (
        LockStatus.CLAIMED,
        AMOUNT,
    )


@kinds
@assets
async def test_lock_goes_back_by_the_followers_word(world: SwapWorld, is_hash: bool, is_coin: bool) -> None:
    """The follower's signature, brought by the initiator, returns the money before the time-out; nobody claims it."""
    refund_to = secrets.token_bytes(20)
    terms = await world.placed(is_hash, is_coin=is_coin, refund_to=refund_to)
    word = world.follower.leg.sign_give_back(terms)
    await world.initiator.leg.give_back(terms, word)
    assert await balance(world, refund_to, terms) == AMOUNT
    with pytest.raises(LockEnded) as ended:
        await world.follower.leg.claim(terms, SECRET)
    assert ended.value.status is LockStatus.RETURNED
    assert (await world.follower.leg.give_back(terms, word)).transaction is None


@kinds
async def test_lock_is_refunded_after_its_time_out_alone(own_world: SwapWorld, is_hash: bool) -> None:
    """Before T1 a refund is refused, from T1 on a claim; the refund goes where the terms say, once."""
    world, refund_to = own_world, secrets.token_bytes(20)
    locks = [await world.placed(is_hash, is_coin=is_coin, refund_to=refund_to) for is_coin in (True, False)]
    with pytest.raises(TooEarly):
        await world.initiator.leg.refund(locks[0])
    await world.world.pass_time(max(terms.expires_at for terms in locks))
    for terms in locks:
        with pytest.raises(TooLate):
            await world.follower.leg.claim(terms, SECRET)
        await world.initiator.leg.refund(terms)
        assert await balance(world, refund_to, terms) == AMOUNT
        assert (await world.follower.leg.refund(terms)).transaction is None


async def test_figures_of_a_swap_of_coin(world: SwapWorld) -> None:
    """On a real node the lock with its memo, and the claim to an existing account, stay within their gas."""
    sides = sides_of(secrets.token_hex(8))
    terms = await world.terms(True, sides)
    memo = seal_memo(world.site, terms, sides.memo(True), sides.namer)
    assert len(memo) == HASH_MEMO_BYTES
    placed = await world.initiator.leg.place(terms.id, terms, memo)
    claimed = await world.follower.leg.claim(terms, SECRET)
    assert placed.transaction is not None
    assert claimed.transaction is not None
    receipts = await world.world.rpc.receipts([placed.transaction, claimed.transaction])
    gas = [receipt.gas_used for receipt in receipts if receipt is not None]
    assert gas[0] <= 55_000
    assert gas[1] <= 46_000


# --- What is refused before anything moves ----------------------------------------------------------------------------


@kinds
async def test_wrong_secret_is_never_sent(world: SwapWorld, is_hash: bool) -> None:
    """A secret that does not open the lock is refused here: a transaction with it would tell it, and cost gas."""
    terms = await world.placed(is_hash)
    for wrong in (bytes_of("other"), b"", SECRET + b"\0", bytes(32)):
        with pytest.raises(BadInput):
            await world.follower.leg.claim(terms, wrong)
    assert await world.follower.leg.status(terms) is LockStatus.OPEN


@kinds
async def test_forged_word_is_never_sent(world: SwapWorld, is_hash: bool) -> None:
    """The initiator's own word, one for another lock and one for another Escrow give nothing back."""
    terms = await world.placed(is_hash)
    other = elsewhere(world.site, escrow=b"\x11" * 20)
    async with person(other, world.node.url, world.follower.secret, VolatileJournal()) as there:
        words = [
            there.leg.sign_give_back(terms),
            world.follower.leg.sign_give_back(replace(terms, amount=1)),
            world.initiator.leg.sign_give_back(replace(terms, beneficiary=world.initiator.account)),
        ]
    for word in words:
        with pytest.raises(BadSignature):
            await world.initiator.leg.give_back(terms, word)
    with pytest.raises(BadInput):
        world.initiator.leg.sign_give_back(terms)
    assert await world.follower.leg.status(terms) is LockStatus.OPEN


async def test_lock_that_is_not_there_may_come_yet(world: SwapWorld) -> None:
    """Terms that the chain does not have (yet) are no lock: to try again later is right, and nothing was sent."""
    for is_hash in (True, False):
        terms = await world.terms(is_hash, sides_of(secrets.token_hex(8)))
        with pytest.raises(LockNotThere):
            await world.follower.leg.claim(terms, SECRET)
        assert await world.follower.leg.status(terms) is None
    real = await world.placed()
    with pytest.raises(LockNotThere):
        await world.follower.leg.claim(replace(real, amount=real.amount + 1), SECRET)


async def test_only_the_payer_locks(world: SwapWorld) -> None:
    """Terms that name another payer are refused before anything is sent."""
    terms = await world.terms(True, sides_of(), payer=world.follower.account)
    with pytest.raises(BadInput):
        await world.initiator.leg.place(b"other payer", terms, b"")


async def test_leg_is_of_its_senders_account(world: SwapWorld) -> None:
    """A key that is not the sender's would sign words of somebody else."""
    open_leg = world.follower.open
    async with (
        EvmRpc(world.node.url) as rpc,
        TxSender(rpc, journal := VolatileJournal(), secrets.token_bytes(32), world.site.number) as sender,
    ):
        with pytest.raises(BadInput):
            EscrowLeg(world.site, open_leg.views.heads, rpc, sender, journal, world.follower.secret)


async def test_other_contract_or_chain_is_not_trusted(world: SwapWorld) -> None:
    """An address with other code, or none, and a node of another genesis block are refused; ours is fine."""
    await world.follower.leg.check()
    anchors, _ = await deploy_anchors(world.world.banker, key=secrets.token_hex(4))
    for escrow in (anchors, secrets.token_bytes(20)):
        async with person(
            elsewhere(world.site, escrow=escrow), world.node.url, world.follower.secret, VolatileJournal()
        ) as there:
            with pytest.raises(NotOurEscrow):
                await there.leg.check()
    chain = replace(world.site.chain, genesis=b"\x01" * 32)
    async with person(
        elsewhere(world.site, chain=chain), world.node.url, world.follower.secret, VolatileJournal()
    ) as there:
        with pytest.raises(WrongChain):
            await there.leg.check()


async def test_escrow_that_was_born_with_debts_is_not_trusted(world: SwapWorld) -> None:
    """A deployer who leaves just our code behind, and owes itself a fortune, takes what others lock: it is refused."""
    thief = world.world.banker
    code = await world.world.rpc.code(world.site.escrow)
    owed = keccak(keccak((1).to_bytes(32, "big") + thief.account.rjust(32, b"\0")) + NATIVE_COIN.rjust(32, b"\0"))
    result = await thief.send(Call(None, born_owing(code, owed, AMOUNT), "deploy"), secrets.token_hex(8))
    address = result.receipt.contract
    assert address is not None
    trap = elsewhere(world.site, escrow=address, start=result.receipt.block.number)
    async with person(trap, world.node.url, world.initiator.secret, world.initiator.journal) as victim:
        await victim.leg.contract.check(await victim.leg.head())
        with pytest.raises(NotOurEscrow, match="created"):
            await victim.leg.check()
        # Why: the thief has the money of whoever trusts the code alone.
        terms = await world.terms(True, sides_of(secrets.token_hex(8)))
        await victim.leg.place(b"trap" + terms.id, terms, b"")
        stolen = EscrowCalls(address).withdraw(thief.account, NATIVE_COIN, to := secrets.token_bytes(20))
        await thief.send(stolen, secrets.token_hex(8))
        assert await victim.leg.contract.balance(to, NATIVE_COIN, await victim.leg.head()) == AMOUNT
        assert await victim.leg.contract.balance(address, NATIVE_COIN, await victim.leg.head()) == 0
        assert await victim.leg.status(terms) is LockStatus.OPEN


def born_owing(code: bytes, slot: bytes, amount: int) -> bytes:
    """Creation code that leaves `code` behind after it has written `amount` into a slot of the storage."""
    store = b"\x7f" + amount.to_bytes(32, "big") + b"\x7f" + slot + b"\x55"
    size = len(code).to_bytes(2, "big")
    copy = b"\x61" + size + b"\x61" + (len(store) + 13).to_bytes(2, "big") + b"\x5f\x39"
    return store + copy + b"\x61" + size + b"\x5f\xf3" + code


async def test_block_of_another_creation_proves_nothing(world: SwapWorld) -> None:
    """Our Escrow with another block as its first, be it one that created another Escrow, is not taken for created."""
    _, other = await deploy_escrow(world.world.banker, key=secrets.token_hex(8))
    heads = world.follower.open.views.heads
    await check_created(heads, world.site.escrow, world.site.start)
    for start in (other, BlockHeight(0)):
        with pytest.raises(NotOurEscrow):
            await check_created(heads, world.site.escrow, start)


async def test_asset_is_what_the_list_says(world: SwapWorld) -> None:
    """A token of other decimals or another symbol, and an address without a token, are not the asset of the list."""
    heads, at = world.follower.open.views.heads, await world.follower.leg.head()
    token = world.world.config.token

    async def check(asset: bytes, decimals: int, symbol: str | None = None) -> None:
        await check_asset(heads, world.site, asset, at, decimals=decimals, symbol=symbol)

    await check(NATIVE_COIN, 18)
    await check(token, DECIMALS)
    for asset, decimals, symbol, field in (
        (token, DECIMALS + 1, None, "decimals"),
        (token, DECIMALS, "OTHER", "symbol"),
        (secrets.token_bytes(20), DECIMALS, None, "code"),
        (world.site.escrow, DECIMALS, None, "interface"),
    ):
        with pytest.raises(AssetMismatch) as mismatch:
            await check(asset, decimals, symbol)
        assert mismatch.value.field == field


# --- Allowances -------------------------------------------------------------------------------------------------------


async def test_token_is_allowed_exactly_what_is_locked(world: SwapWorld) -> None:
    """After a lock nothing is left allowed; two locks at once are both made, each with its own allowance."""
    made = await asyncio.gather(world.placed(is_coin=False), world.placed(False, is_coin=False))
    statuses = [await world.follower.leg.status(terms) for terms in made]
    assert statuses == [LockStatus.OPEN] * 2
    assert await world.initiator.leg._allowance(world.world.config.token) == 0


async def test_token_that_demands_zero_first_is_locked(own_world: SwapWorld) -> None:
    """Where less is allowed already, and the token changes no allowance but to zero, it is set to zero first."""
    world = own_world
    await world.world.tell("approves(bool,bool)", ["bool", "bool"], [True, False])
    leg = world.initiator.leg
    await leg._send(leg._calls.approve(world.world.config.token, 7), "left over")
    terms = await world.placed(is_coin=False)
    assert (await leg.status(terms), await leg._allowance(terms.asset)) == (LockStatus.OPEN, 0)


async def test_token_that_allows_nothing_is_given_up(own_world: SwapWorld) -> None:
    """A token that takes approvals and allows nothing is refused after a few, and nothing is locked."""
    world = own_world
    await world.world.tell("approves(bool,bool)", ["bool", "bool"], [False, True])
    with pytest.raises(AllowanceRefused):
        await world.placed(is_coin=False)
    assert await world.world.rpc.logs([world.site.escrow], world.site.start, await world.initiator.leg.head()) == []


# --- What was owed ----------------------------------------------------------------------------------------------------


async def test_claim_that_could_not_be_paid_is_withdrawn(own_world: SwapWorld) -> None:
    """Where the token bars the follower, the claim counts and is owed; once it may have it, it has it paid, once."""
    world = own_world
    terms = await world.placed(is_coin=False)
    barred = (["address", "bool"], "0x" + world.follower.account.hex())
    await world.world.tell("freezes(address,bool)", barred[0], [barred[1], True])
    await world.follower.leg.claim(terms, SECRET)
    assert await balance(world, world.follower.account, terms) == 0
    reading = await world.watch(terms).read()
    assert reading is not None
    assert reading.owed == (terms.asset,)
    await world.world.tell("freezes(address,bool)", barred[0], [barred[1], False])
    assert await world.follower.leg.withdraw(terms.asset) == AMOUNT
    assert await balance(world, world.follower.account, terms) == AMOUNT
    assert await world.follower.leg.withdraw(terms.asset) == 0


# --- Crashes ----------------------------------------------------------------------------------------------------------


async def test_lock_is_the_same_however_often_it_is_asked_for(world: SwapWorld) -> None:
    """A repeat is the same transaction; with the journal lost, the chain tells that the lock is there already."""
    sides = sides_of(secrets.token_hex(8))
    terms = await world.terms(True, sides)
    memo = seal_memo(world.site, terms, sides.memo(True), sides.namer)
    first, again = [await world.initiator.leg.place(terms.id, terms, memo) for _ in range(2)]
    assert first == again
    assert await world.initiator.leg.is_placing(terms.id)
    assert not await world.initiator.leg.is_placing(b"another swap")
    async with person(world.site, world.node.url, world.initiator.secret, VolatileJournal()) as restored:
        assert not await restored.leg.is_placing(terms.id)
        assert (await restored.leg.place(terms.id, terms, memo)).transaction is None
        with pytest.raises(LockIdTaken):
            await restored.leg.place(b"another swap", replace(terms, amount=terms.amount + 1), memo)
    await world.follower.leg.claim(terms, SECRET)
    async with person(world.site, world.node.url, world.initiator.secret, VolatileJournal()) as restored:
        assert (await restored.leg.place(terms.id, terms, memo)).transaction is None


class _Mute(EvmRpc):
    """A node that is gone in the moment in which something is to be broadcast."""

    async def send_raw(self, raw: bytes) -> None:
        raise NodeUnavailable("eth_sendRawTransaction", "the process was killed")


@pytest.mark.parametrize("act", ["place", "claim"])
async def test_kill_between_journal_and_broadcast_loses_nothing(world: SwapWorld, act: str) -> None:
    """What was signed and written down, and never left, is sent by the next process, once."""
    who = world.initiator if act == "place" else world.follower
    sides = sides_of(secrets.token_hex(8))
    terms = await world.terms(True, sides) if act == "place" else await world.placed()
    memo = seal_memo(world.site, terms, sides.memo(True), sides.namer) if act == "place" else b""
    before = await world.world.rpc.transaction_counts(who.account, ["latest"])

    async def ask(leg: EscrowLeg) -> Any:
        return await (leg.place(terms.id, terms, memo) if act == "place" else leg.claim(terms, SECRET))

    endpoints = who.open.views
    async with _Mute(world.node.url, reverted=typed_revert) as rpc:
        sender = TxSender(rpc, who.journal, who.secret, world.site.number, POLICY)
        async with sender:
            leg = EscrowLeg(world.site, endpoints.heads, rpc, sender, who.journal, who.secret)
            task = asyncio.create_task(ask(leg))
            while not await who.journal.pending(who.account):
                await asyncio.sleep(0.01)
            task.cancel()
    assert await world.world.rpc.transaction_counts(who.account, ["latest"]) == before
    async with person(world.site, world.node.url, who.secret, who.journal) as restored:
        assert (await ask(restored.leg)).transaction is not None
        expected = LockStatus.OPEN if act == "place" else LockStatus.CLAIMED
        assert await restored.leg.status(terms) is expected
    assert await world.world.rpc.transaction_counts(who.account, ["latest"]) == [before[0] + 1]
