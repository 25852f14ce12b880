"""`settlement.swap.bitcoin.wallet` against a node that refuses, lies, or is in somebody else's hands too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast

import pytest

from adapters.bitcoin.addresses import REGTEST, address_text
from adapters.bitcoin.errors import BadAnswer, InsufficientFunds, RpcRefused, WrongTransaction
from adapters.bitcoin.primitives import BlockRef, Coin, OutPoint, TxOut
from adapters.bitcoin.rpc import BitcoinRpc
from adapters.bitcoin.transactions import SEQUENCE, parse_transaction, serialize
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, Satoshi
from settlement.swap.bitcoin.funding import Funding
from settlement.swap.bitcoin.wallet import CoinsTaken, NodeWallet, TraderWallet, WalletLocked, WalletUnusable
from tests.support.swap_bitcoin import LIMIT, RATE

PAID = TxOut(Satoshi(50_000), b"\x51\x20" + b"\x01" * 32)
CHANGE = b"\x51\x20" + b"\x02" * 32


def signed(raw: str, *, thief: bool = False) -> str:
    """The transaction, as if it were signed; a thief pays itself."""
    parsed = parse_transaction(bytes.fromhex(raw))
    outputs = [TxOut(one.value, b"\x00\x14" + bytes(20)) if thief else one for one in parsed.outputs]
    witnesses = [(bytes(64),) for _ in parsed.inputs]
    return serialize([(point, SEQUENCE) for point in parsed.inputs], outputs, witnesses).hex()


@dataclass
class FakeWalletNode:
    """Fields: answers (how a method answers instead of the usual); locked (txids set aside); values (of its coins)."""

    answers: dict[str, Callable[..., Any]] = field(default_factory=dict)
    locked: set[str] = field(default_factory=set)
    values: tuple[int, ...] = (60_000, 90_000)

    async def tip(self) -> BlockRef:
        return BlockRef(BlockHeight(100), bytes(32))

    async def call(self, method: str, *params: Any) -> Any:
        return self.answers.get(method, getattr(self, method, None))(*params)  # type: ignore[misc]

    def getbalances(self) -> object:
        return {"mine": {"trusted": Decimal("0.00150000")}}

    def getrawchangeaddress(self, _kind: str) -> str:
        return address_text(CHANGE, REGTEST)

    def listunspent(self, _confirmations: int) -> object:
        named = [(f"{number + 1:02x}" * 32, value) for number, value in enumerate(self.values)]
        return [
            {
                "txid": txid,
                "vout": 0,
                "scriptPubKey": CHANGE.hex(),
                "amount": Decimal(value) / 10**8,
                "confirmations": 3,
                "spendable": True,
                "solvable": True,
            }
            for txid, value in named
            if txid not in self.locked
        ]

    def lockunspent(self, unlock: bool, coins: list[dict[str, Any]]) -> bool:
        names = {coin["txid"] for coin in coins}
        if (self.locked & names) if not unlock else names - self.locked:
            raise RpcRefused("lockunspent", -8, "Invalid parameter, output already locked")
        self.locked = self.locked - names if unlock else self.locked | names
        return True

    def signrawtransactionwithwallet(self, raw: str, _spent: object) -> object:
        return {"hex": signed(raw), "complete": True}


def wallet_of(node: FakeWalletNode) -> NodeWallet:
    """Its wallet."""
    return NodeWallet(cast(BitcoinRpc, node), REGTEST)


def refusing(method: str, code: int) -> Callable[..., Any]:
    """A method that the node refuses."""

    def refuse(*_: Any) -> Any:
        raise RpcRefused(method, code, "no")

    return refuse


async def test_a_funding_is_put_together_and_kept_aside() -> None:
    """The port's methods work together: amounts are exact, coins are set aside, and freed again."""
    node = FakeWalletNode()
    wallet: TraderWallet = wallet_of(node)
    assert await wallet.balance() == 150_000
    funding = await wallet.fund(PAID, RATE, at_most=LIMIT)
    assert len(node.locked) == 1
    assert (funding.coin.value, funding.coin.script) == (PAID.value, PAID.script)
    assert [coin.height for coin in funding.inputs] == [98]
    await wallet.release(funding)
    assert node.locked == set()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (refusing("sign", -13), WalletLocked),
        (lambda raw, _: {"hex": raw, "complete": False}, WalletUnusable),
        (lambda raw, _: {"hex": signed(raw, thief=True), "complete": True}, WrongTransaction),
        (lambda raw, _: {"hex": raw, "complete": True}, WrongTransaction),
        (lambda *_: {"hex": "xy", "complete": True}, BadAnswer),
        (lambda *_: {"complete": True}, BadAnswer),
    ],
)
async def test_coins_are_freed_where_nothing_was_signed(answer: Callable[..., Any], error: type[Exception]) -> None:
    """A signer that is locked, cannot sign, or signs something else leaves no coin set aside."""
    node = FakeWalletNode({"signrawtransactionwithwallet": answer})
    with pytest.raises(error):
        await wallet_of(node).fund(PAID, RATE, at_most=LIMIT)
    assert node.locked == set()


async def test_a_replacement_that_is_not_signed_keeps_the_first_ones_coins() -> None:
    """Only what was added for a replacement is freed: the payment that it replaces still needs its own."""
    node = FakeWalletNode(values=(60_000, 55_000))
    wallet = wallet_of(node)
    first = await wallet.fund(PAID, RATE, at_most=LIMIT)
    kept = set(node.locked)
    node.answers["signrawtransactionwithwallet"] = refusing("sign", -13)
    standing = None
    with pytest.raises(WalletLocked):
        await wallet.rebid(first, standing, type(RATE)(RATE * 50), type(RATE)(1_000), at_most=LIMIT)
    assert node.locked == kept


async def test_coins_that_others_take_are_tried_again() -> None:
    """A coin that another process takes between choosing and setting aside is not fought for."""
    node = FakeWalletNode()
    usual = node.lockunspent
    rivals = iter(["01" * 32])

    def raced(unlock: bool, coins: list[dict[str, Any]]) -> bool:
        rival = next(rivals, None)
        if rival is not None and not unlock:
            node.locked.add(rival)
            if coins[0]["txid"] == rival:
                raise RpcRefused("lockunspent", -8, "already locked")
        return usual(unlock, coins)

    node.answers["lockunspent"] = raced
    funding = await wallet_of(node).fund(PAID, RATE, at_most=LIMIT)
    assert [coin.value for coin in funding.inputs] == [90_000]
    node.answers["lockunspent"] = refusing("lockunspent", -8)
    node.locked.clear()
    with pytest.raises(CoinsTaken):
        await wallet_of(node).fund(PAID, RATE, at_most=LIMIT)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (-13, WalletLocked),
        (-18, WalletUnusable),
        (-19, WalletUnusable),
        (-6, InsufficientFunds),
        (-4, WalletUnusable),
        (-1, RpcRefused),
    ],
)
async def test_the_nodes_words_are_told_in_ours(code: int, error: type[Exception]) -> None:
    """Each refusal of a wallet is an error that says what to do."""
    for method in ("getbalances", "lockunspent"):
        node = FakeWalletNode({method: refusing(method, code)})
        with pytest.raises(error):
            await (
                wallet_of(node).balance()
                if method == "getbalances"
                else wallet_of(node).fund(PAID, RATE, at_most=LIMIT)
            )


async def test_coins_that_cannot_be_spent_are_no_money() -> None:
    """What the wallet only watches is not chosen."""
    node = FakeWalletNode()
    listed = [{**one, "spendable": False} for one in node.listunspent(1)]  # type: ignore[attr-defined]
    node.answers["listunspent"] = lambda _: listed
    assert await wallet_of(node).coins() == ()


async def test_a_child_is_of_its_parent() -> None:
    """A coin that is no output of the parent is refused."""
    wallet = wallet_of(FakeWalletNode())
    funding = await wallet.fund(PAID, RATE, at_most=LIMIT)
    assert funding.change is not None
    strange = Coin(OutPoint(bytes(32), 0), Satoshi(9), CHANGE)
    with pytest.raises(BadInput):
        await wallet.child(funding.raw, funding.fee, strange, RATE)
    child = parse_transaction(await wallet.child(funding.raw, funding.fee, funding.change, RATE))
    assert child.inputs == (funding.change.outpoint,)
    assert child.outputs[0].script == CHANGE


async def test_reserving_leaves_spent_coins_alone() -> None:
    """After a node's start, coins of a funding that is confirmed already are not missed."""
    node = FakeWalletNode()
    wallet = wallet_of(node)
    funding = await wallet.fund(PAID, RATE, at_most=LIMIT)
    node.answers["lockunspent"] = refusing("lockunspent", -8)
    await wallet.reserve(Funding.decode(funding.encode()))
