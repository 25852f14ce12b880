"""The EVM job on real chains: coin and tokens become mapping tokens, change hands, and go back to an account there."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator

import pytest

from adapters.evm.journal import VolatileJournal
from adapters.evm.lockbox.errors import AssetDenied
from adapters.evm.sender import TxSender
from adapters.native.events import Bonded, FeesDistributed
from adapters.native.types import DepositStatus
from bridge.deposits import Refusal, Stage
from foundation.quantities import BlockHeight, TokenUnits, Wei
from infra.anvil import Anvil
from infra.bitcoind import Bitcoind
from registry.assets import AssetPolicy
from tests.support.bridge_network import ETHER, eventually
from tests.support.evm_life import EvmLife, evm_life
from tests.support.evm_network import FEE_BPS, ORIGIN, OriginAnvil
from tests.support.evm_origin import QUICK, EvmChain, send

pytestmark = pytest.mark.asyncio(loop_scope="session")
RELAY_FEE = ETHER // 1000


@pytest.fixture(scope="module")
async def life(
    tmp_path_factory: pytest.TempPathFactory, _shared_bitcoind: Bitcoind, _shared_anvil: Anvil
) -> AsyncIterator[EvmLife]:
    """One bridge that serves bitcoin and two EVM chains; its vouchers distribute fees every second."""
    root = tmp_path_factory.mktemp("evm-job")
    async with (
        OriginAnvil(root / "first", chain_id=ORIGIN) as first,
        OriginAnvil(root / "second", chain_id=ORIGIN + 1) as second,
        evm_life(root / "net", _shared_bitcoind, _shared_anvil, [first, second], distribute_after_seconds=1.0) as life,
    ):
        yield life


def fee(amount: int) -> int:
    """The service fee of an amount."""
    return amount * FEE_BPS // 10_000


async def test_ether_goes_to_a_second_person_and_back_to_a_third(life: EvmLife) -> None:
    """Ten ether from Alice, six of Bob's tokens to Chris: the vault pays, its carrier earns, tokens burn."""
    chain = life.chain
    asset = chain.asset()
    alice, bob = await chain.account("alice"), await life.net.account("bob")
    chris = b"chris".rjust(20, b"\x01")
    async with life.always_backed():
        await life.held(chain, alice, 10 * ETHER, bob.account)
        minted = 10 * ETHER - fee(10 * ETHER)
        assert await life.tokens(asset, bob.account) == minted
        withdrawal = await life.to_chain(bob, asset, 6 * ETHER, chris, RELAY_FEE)
        await life.settled(withdrawal)
    paid = 6 * ETHER - fee(6 * ETHER)
    assert await chain.balance(chris) == paid - RELAY_FEE
    assert await chain.held() == 10 * ETHER - paid
    assert await life.tokens(asset, bob.account) == minted - 6 * ETHER


async def test_two_chains_are_served_at_once(life: EvmLife) -> None:
    """Locks on two chains become tokens of two assets, and each is paid out by the vault of its own chain."""
    first, second = life.chains
    bob = await life.net.account("bob")
    payees = [bytes([number]) * 20 for number in (0x21, 0x22)]
    before = [await life.tokens(chain.asset(), bob.account) for chain in life.chains]
    async with life.always_backed():

        async def there_and_back(chain: EvmChain, amount: int, payee: bytes) -> None:
            await life.held(chain, await chain.account("alice"), amount, bob.account)
            withdrawal = await life.to_chain(bob, chain.asset(), amount // 2, payee, RELAY_FEE)
            await life.settled(withdrawal)

        await asyncio.gather(
            there_and_back(first, 2 * ETHER, payees[0]),
            there_and_back(second, 4 * ETHER, payees[1]),
        )
    for chain, amount, payee, had in zip(life.chains, (2 * ETHER, 4 * ETHER), payees, before, strict=True):
        assert await chain.balance(payee) == amount // 2 - fee(amount // 2) - RELAY_FEE
        assert await life.tokens(chain.asset(), bob.account) - had == amount - fee(amount) - amount // 2
    assert [await chain.balance(payee) for chain, payee in zip(life.chains, reversed(payees), strict=True)] == [0, 0]
    await life.no_alarm()


async def odd_token(chain: EvmChain, holder: TxSender, gets_bps: int = 10_000) -> bytes:
    """A token that the bridge has never seen, whose receivers get so much of what is sent."""
    token = await chain.deploy(holder, "odd_token", ["uint8"], [6])
    await chain.tell(holder, token, "give(address,uint256)", holder.account, 10**12)
    await chain.tell(holder, token, "moves(uint256,uint256)", 10_000, gets_bps)
    return token


async def test_an_unknown_token_is_introduced_and_goes_back(life: EvmLife) -> None:
    """Its mapping token is deployed on its first deposit; released, it is the very token that was locked."""
    chain = life.chain
    alice, bob = await chain.account("alice"), await life.net.account("bob")
    token = await odd_token(chain, alice)
    asset, payee = chain.asset(token), b"\x31" * 20
    assert await life.net.native.asset(asset, "latest") is None
    async with life.always_backed():
        await life.held(chain, alice, 10**9, bob.account, token)
        mapping = await life.net.native.token_of(asset, "latest")
        assert mapping is not None
        assert (await life.net.native.token_info(mapping, "latest")).decimals == 6
        assert await life.tokens(asset, bob.account) == 10**9 - fee(10**9)
        withdrawal = await life.to_chain(bob, asset, 10**8, payee, 1_000)
        await life.settled(withdrawal)
    assert await chain.balance(payee, token) == 10**8 - fee(10**8) - 1_000
    assert await chain.held(token) == 10**9 - (10**8 - fee(10**8))


async def test_a_token_that_takes_a_fee_credits_what_arrived(life: EvmLife) -> None:
    """Of 1,000,000 units 990,000 arrive at the vault: so many are minted, less the bridge's fee."""
    chain = life.chain
    alice, bob = await chain.account("alice"), await life.net.account("bob")
    token = await odd_token(chain, alice, gets_bps=9_900)
    async with life.always_backed():
        deposited = await life.held(chain, alice, 1_000_000, bob.account, token)
        assert deposited.amount == 990_000 == await chain.held(token)
        assert await life.tokens(deposited.asset, bob.account) == 990_000 - fee(990_000)


async def test_a_denied_token_is_refused_and_what_is_under_way_comes_back(life: EvmLife) -> None:
    """The storemen tell the vault; a deposit that the Hub had not minted is sent back whole."""
    chain, net = life.chain, life.net
    alice, bob = await chain.account("alice"), await net.account("bob")
    token = await odd_token(chain, alice)
    asset = chain.asset(token)
    await life.held(chain, alice, 5_000_000, bob.account, token)
    before = await chain.balance(alice.account, token)
    silent = net.vouchers[:2]
    await asyncio.gather(*(node.stop() for node in silent))  # so that nothing is minted
    late = await chain.lock(alice, 1_000_000, bob.account, token)
    await life.becomes(late, Stage.FINAL)
    denied = AssetPolicy(TokenUnits(1), TokenUnits(0), TokenUnits(1), denied=True, fee_bps=FEE_BPS)
    await send(net.owner, net.native.calls.set_asset_policy(asset, denied))

    async def told() -> bool:
        return (await chain.reads.limits(token, await chain.height())).denied

    await eventually(told, "the storemen tell the vault")
    with pytest.raises(AssetDenied):
        await chain.lock(alice, 1_000, bob.account, token)
    await asyncio.gather(*(node.start() for node in silent))
    deposit = await life.becomes(late, Stage.RETURNED)
    assert deposit.refusal is Refusal.ASSET_DENIED
    assert await net.native.deposit_status(late.id) is DepositStatus.RETURNED

    assert await chain.balance(alice.account, token) == before
    assert await chain.held(token) == 5_000_000


async def test_fees_are_claimed_to_the_unit(life: EvmLife) -> None:
    """What was earned on one asset goes to vouchers, storemen and a delegator by their parts; fractions stay."""
    chain, net = life.chains[1], life.net
    native, asset = net.native, chain.asset()
    delegator, bob = await net.account("delegator"), await net.account("bob")
    favoured = net.vouchers[0].member.account
    result = await send(delegator, native.calls.delegate(favoured, Wei(ETHER)))
    (bonded,) = [e for e in native.decoded(result.receipt.logs) if isinstance(e, Bonded)]
    await life.held(chain, await chain.account("alice"), 3 * ETHER + 7_777, bob.account)
    await life.settled(await life.to_chain(bob, asset, 2 * ETHER + 55_555, b"\x41" * 20, RELAY_FEE))
    await eventually(lambda: nothing_pending(life, asset), "all fees are distributed")
    token = await native.token_of(asset, "latest")
    assert token is not None
    before = await earned_by(life, asset)
    assert await life.tokens(asset, net.deployment.bonds) == sum(before.values())
    await life.no_alarm()

    # Nobody may send for a node's account while the node does.
    await asyncio.gather(*(node.stop() for node in net.nodes))
    claims = {delegator.account: await claimed(life, delegator, token, [bonded.position])}
    for node in net.nodes:
        operator = await native.operator(node.member.account, "latest")
        positions = [operator.own_position] if operator is not None and operator.own_position else []
        async with TxSender(native.rpc, VolatileJournal(), node.identity.account_secret, ORIGIN - 1, QUICK) as sender:
            claims[node.member.account] = await claimed(life, sender, token, positions)
    left = await life.tokens(asset, net.deployment.bonds)
    assert sum(claims.values()) + left == sum(before.values())
    shared = (await earned_by(life, asset, bonded.at.block.number + 1))[favoured]
    assert shared > 0
    halves = {account: 2 * amount for account, amount in before.items()}
    halves |= {favoured: halves[favoured] - shared, delegator.account: shared}
    left_over = {account: half - 2 * claims[account] for account, half in halves.items()}
    assert all(0 <= half < 3 for half in left_over.values()), "what is less than a unit waits for the next fee"
    assert not any(left_over.get(node.member.account) for node in net.storemen), "who has no pool gets all at once"


async def nothing_pending(life: EvmLife, asset: bytes) -> bool:
    """Whether the Hub had minted all fees of an asset in a block that does not change any more."""
    return await life.net.native.pending_total(asset, await life.settled_block()) == 0


async def earned_by(life: EvmLife, asset: bytes, since: int = 0) -> dict[bytes, int]:
    """What each operator was credited, computed from what the Hub says of the distributions and of who took part."""
    net = life.net
    last = (await net.native.latest_block()).number
    events = await net.native.events(BlockHeight(max(since, net.deployment.start_block)), last)
    vouchers, storemen = await net.native.vouchers("latest"), [node.member.account for node in net.storemen]
    earned: dict[bytes, int] = defaultdict(int)
    for event in events:
        if isinstance(event, FeesDistributed) and event.asset == asset:
            if event.group == bytes(32):
                parts = sorted(vouchers.of_bitmap(event.signers), key=lambda a: vouchers.bitmap([a]))
            else:
                parts = [account for index, account in enumerate(storemen) if event.signers >> index & 1]
            for place, account in enumerate(parts):
                earned[account] += event.amount // len(parts) + (place < event.amount % len(parts))
    return dict(earned)


async def claimed(life: EvmLife, sender: TxSender, token: bytes, positions: list[int]) -> int:
    """Claim all that an account can of a token; how much came."""
    native = life.net.native
    before = await native.token_balance(token, sender.account)
    for position in positions:
        if await native.claimable(position, token, "latest"):
            await send(sender, native.calls.claim_fees(position, token))
    if await native.commission_owed(sender.account, token, "latest"):
        await send(sender, native.calls.claim_commission(token))
    return await native.token_balance(token, sender.account) - before
