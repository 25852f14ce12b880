"""What a sender is told through several endpoints, one of which lies; and the end of a transaction, proved."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from adapters.evm.agreed_node import AgreedNode
from adapters.evm.ends import GONE, FinalEnds
from adapters.evm.errors import (
    EndpointLied,
    EndpointsDisagree,
    FalseReceipts,
    InsufficientBalance,
    NodeUnavailable,
    Reverted,
    RpcRefused,
    TooFewEndpoints,
    WrongChain,
)
from adapters.evm.proved import Mined
from adapters.evm.transport import Json, NodeError
from adapters.evm.types import Call
from tests.support.evm_endpoint import LOCKBOX, FakeChain, FakeTransport, Log, hexed, quantity, together

ACCOUNT = b"\x77" * 20
CALL = Call(LOCKBOX, b"\x01", "Test.call")
LOG: Log = (LOCKBOX, (b"\x05" * 32,), b"six")


class Node(FakeTransport):
    """An endpoint that knows what senders ask. Fields: used (nonces); sent; refusal; gas; balance; base_fee (None:
    the chain's)."""

    def __init__(self, chain: FakeChain, name: str, used: int = 0) -> None:
        super().__init__(chain, name)
        self.used = used
        self.sent: list[str] = []
        self.refusal = ""
        self.gas = 50_000
        self.balance = 0
        self.base_fee: int | None = None

    def _eth_getTransactionReceipt(self, tx: str) -> Json:
        for number, block in enumerate(self.chain.receipts):
            for one in block:
                if one["transactionHash"] == tx and number <= self._top:
                    held = self.chain.blocks[number]
                    place = {"blockNumber": held["number"], "blockHash": held["hash"], "gasUsed": "0x5208"}
                    return one | place | {"effectiveGasPrice": "0x7"}
        return None

    def _eth_getTransactionCount(self, account: str, block: str) -> Json:
        return quantity(self.used)

    def _eth_getTransactionByHash(self, tx: str) -> Json:
        return {"hash": tx} if tx in self.sent else None

    def _eth_sendRawTransaction(self, raw: str) -> Json:
        if self.refusal:
            raise NodeError("eth_sendRawTransaction", -32000, self.refusal)
        self.sent.append(raw)
        return raw

    def _eth_estimateGas(self, *_: Any) -> Json:
        if self.refusal:
            reverts = "reverted" in self.refusal
            raise NodeError("eth_estimateGas", 3 if reverts else -32000, self.refusal, "0x" if reverts else None)
        return quantity(self.gas)

    def _eth_getBlockByNumber(self, number: str, full: bool) -> Json:
        block = super()._eth_getBlockByNumber(quantity(self._top) if number == "latest" else number, full)
        told: Any = block
        return (
            block if self.base_fee is None or number != "latest" else told | {"baseFeePerGas": quantity(self.base_fee)}
        )

    def _eth_getBalance(self, account: str, block: str) -> Json:
        return quantity(self.balance)


@pytest.fixture
def chain() -> FakeChain:
    """Six blocks; the fourth holds two transactions, the second of which emits a log. The last two are not final."""
    made = FakeChain(final_behind=2)
    made.mine()
    made.mine()
    made.mine([], [LOG])
    made.mine()
    made.mine()
    return made


def hash_in(chain: FakeChain, number: int, index: int) -> bytes:
    """A transaction's hash."""
    return bytes.fromhex(chain.receipts[number][index]["transactionHash"][2:])


async def test_a_mined_transaction_is_proved_with_its_logs(chain: FakeChain) -> None:
    """The end of a nonce is the version that a final block holds: its outcome and its own logs, in their places."""
    version = hash_in(chain, 3, 1)
    end = await FinalEnds(together(Node(chain, "a"), Node(chain, "b"))).of(ACCOUNT, 0, [b"\x01" * 32, version])
    assert isinstance(end, Mined)
    assert (end.transaction, end.succeeded, end.block.number) == (version, True, 3)
    assert [(log.address, log.topics, log.data, log.index) for log in end.logs] == [(*LOG, 0)]


async def test_what_is_not_final_has_no_end_yet(chain: FakeChain) -> None:
    """A transaction above the final block has come to no end."""
    chain.mine([LOG])
    node = Node(chain, "a")
    assert await FinalEnds(together(node)).of(ACCOUNT, 0, [hash_in(chain, 6, 0)]) is None


async def test_one_endpoint_that_makes_up_an_end_is_refused(chain: FakeChain) -> None:
    """An endpoint that hides a receipt, invents one, or counts nonces otherwise is outvoted by nobody, and named."""
    version = hash_in(chain, 3, 1)
    hiding = Node(chain, "liar")
    hiding.lies["eth_getTransactionReceipt"] = lambda params, truth: None
    with pytest.raises(EndpointsDisagree) as refusal:
        await FinalEnds(together(Node(chain, "honest"), hiding)).of(ACCOUNT, 0, [version])
    assert refusal.value.answers["liar"] == "nowhere"
    inventing = Node(chain, "liar")
    held = chain.receipts[3][1] | {"blockNumber": "0x3", "blockHash": chain.blocks[3]["hash"], "gasUsed": "0x1"}
    told = held | {"effectiveGasPrice": "0x7", "transactionHash": hexed(b"\x01" * 32)}
    inventing.lies["eth_getTransactionReceipt"] = lambda params, truth: told
    with pytest.raises(EndpointsDisagree):
        await FinalEnds(together(Node(chain, "honest"), inventing)).of(ACCOUNT, 0, [b"\x01" * 32])
    counting = Node(chain, "liar", used=1)
    with pytest.raises(EndpointsDisagree):
        await FinalEnds(together(Node(chain, "honest"), counting)).of(ACCOUNT, 0, [b"\x01" * 32])


async def test_an_end_that_all_invent_has_no_proof(chain: FakeChain) -> None:
    """Where every endpoint calls a success a failure, the block's receipts still say what it was."""
    version, node = hash_in(chain, 3, 1), Node(chain, "liar")
    node.lies["eth_getBlockReceipts"] = lambda params, truth: [one | {"status": "0x0"} for one in truth]
    with pytest.raises(EndpointLied) as refusal:
        await FinalEnds(together(node)).of(ACCOUNT, 0, [version])
    assert isinstance(refusal.value, FalseReceipts)


async def test_a_nonce_that_all_say_is_used_up_is_gone(chain: FakeChain) -> None:
    """None of our versions is in a block, and the account is past their nonce."""
    ends = FinalEnds(together(Node(chain, "a", used=8), Node(chain, "b", used=8)))
    assert await ends.of(ACCOUNT, 7, [b"\x01" * 32]) is GONE
    assert await ends.of(ACCOUNT, 8, [b"\x01" * 32]) is None


async def test_a_receipt_counts_once_all_endpoints_have_it(chain: FakeChain) -> None:
    """One endpoint alone cannot have a sender believe that a transaction is in a block, or in which."""
    version = hash_in(chain, 3, 1)
    honest, liar = Node(chain, "honest"), Node(chain, "liar")
    node = AgreedNode(together(honest, liar))
    (receipt,) = await node.receipts([version])
    assert receipt is not None
    assert receipt.block.number == 3
    liar.lies["eth_getTransactionReceipt"] = lambda params, truth: truth and truth | {"status": "0x0"}
    assert await node.receipts([version]) == [None]


async def test_no_nonce_is_taken_for_used_up_on_one_endpoints_word(chain: FakeChain) -> None:
    """The lowest count is the newest state's, and the final one has to be the same for all."""
    honest, liar = Node(chain, "honest", used=3), Node(chain, "liar", used=9_000)
    node = AgreedNode(together(honest, liar))
    assert await node.transaction_counts(ACCOUNT, ["latest", "pending"]) == [3, 3]
    with pytest.raises(EndpointsDisagree):
        await node.transaction_counts(ACCOUNT, ["latest", "finalized"])
    liar.used = 3
    assert await node.transaction_counts(ACCOUNT, ["latest", "finalized"]) == [3, 3]


async def test_a_transaction_is_given_to_all_endpoints(chain: FakeChain) -> None:
    """One that keeps it to itself, refuses it or is down does not stop it; where none takes it, that is told."""
    one, other = Node(chain, "one"), Node(chain, "other")
    node = AgreedNode(together(one, other))
    one.refusal = "nonce too low"
    await node.send_raw(b"\x02raw")
    assert other.sent == [hexed(b"\x02raw")]
    other.is_down = True
    with pytest.raises(RpcRefused):
        await node.send_raw(b"\x02raw")
    one.is_down = True
    with pytest.raises(TooFewEndpoints):
        await node.send_raw(b"\x02raw")
    with pytest.raises(NodeUnavailable):
        await AgreedNode(together(one)).send_raw(b"\x02raw")
    one.is_down = other.is_down = False
    assert await node.known([b"\x02raw"]) == [False]


async def test_a_call_is_sent_if_one_endpoint_accepts_it(chain: FakeChain) -> None:
    """One endpoint that refuses is passed over and named, whatever its reason; a refusal by all that answer stands."""
    one, other = Node(chain, "one"), Node(chain, "other")
    node = AgreedNode(together(one, other))
    for refusal in ("execution reverted: no", "insufficient funds for transfer"):
        one.refusal = refusal
        with capture_logs() as logs:
            assert (await node.simulate(CALL, ACCOUNT)).gas == 50_000
        assert [set(log["refused"]) for log in logs if log["log_level"] == "warning"] == [{"one"}]
    one.refusal = other.refusal = "execution reverted: no"
    with pytest.raises(Reverted):
        await node.simulate(CALL, ACCOUNT)
    one.refusal, other.is_down = "insufficient funds for transfer", True
    with pytest.raises(InsufficientBalance):
        await node.simulate(CALL, ACCOUNT)


async def test_of_two_endpoints_both_figures_are_told(chain: FakeChain) -> None:
    """Gas, balance and base fee of one of them are the higher, and of the other the least, and who told them is logged;
    gas beyond what a transaction may have is no figure."""
    one, other = Node(chain, "one"), Node(chain, "other")
    node = AgreedNode(together(one, other))
    one.gas, one.balance, one.base_fee = 21_000, 5, 900
    other.balance = 10**18
    with capture_logs() as logs:
        told = await node.simulate(CALL, ACCOUNT)
    assert [set(log["told"]) for log in logs if log["log_level"] == "warning"] == [{"one", "other"}]
    assert (told.gas, told.balance, told.block.base_fee) == (50_000, 10**18, 900)
    assert told.least is not None
    assert (told.least.gas, told.least.balance, told.least.block.base_fee) == (21_000, 5, 7)
    one.gas = 2**60
    told = await node.simulate(CALL, ACCOUNT)
    assert (told.gas, told.least and told.least.gas) == (50_000, 50_000)
    assert await node.balances(ACCOUNT) == (5, 10**18)


@pytest.mark.parametrize("lie", [0, 10**40])
async def test_of_three_endpoints_one_moves_nothing(chain: FakeChain, lie: int) -> None:
    """What one says that lies, up or down, is between no two others, and counts for nothing."""
    honest = [Node(chain, "a", used=3), Node(chain, "b", used=3)]
    for node in honest:
        node.balance = 10**18
    liar = Node(chain, "liar", used=lie)
    liar.gas = liar.balance = liar.base_fee = lie
    node = AgreedNode(together(*honest, liar, quorum=2))
    told = await node.simulate(CALL, ACCOUNT)
    for one in (told, told.least or told):
        assert (one.gas, one.balance, one.block.base_fee) == (50_000, 10**18, 7)
    (latest,) = await node.blocks(["latest"])
    assert latest is not None
    assert latest.base_fee == 7
    assert await node.balances(ACCOUNT) == (10**18, 10**18)
    assert await node.transaction_counts(ACCOUNT, ["latest"]) == [3]


async def test_an_endpoint_of_another_chain_is_passed_over(chain: FakeChain) -> None:
    """One that came back as another chain's is named and not asked, where another one answers; alone it is fatal, as
    it is for what has to be agreed on."""
    astray, honest = Node(chain, "astray"), Node(chain, "honest", used=3)
    astray.lies["eth_chainId"] = lambda params, truth: "0x1"
    endpoints = together(astray, honest)
    node = AgreedNode(endpoints)
    assert await node.transaction_counts(ACCOUNT, ["latest"]) == [3]
    assert (await node.simulate(CALL, ACCOUNT)).gas == 50_000
    await node.send_raw(b"\x02raw")
    assert (astray.sent, honest.sent) == ([], [hexed(b"\x02raw")])
    assert isinstance(endpoints.faults["astray"], WrongChain)
    with pytest.raises(WrongChain):
        await node.blocks(["finalized"])
    honest.is_down = True
    with pytest.raises(WrongChain):
        await node.simulate(CALL, ACCOUNT)


async def test_a_transaction_is_not_given_up_on_one_endpoints_word(chain: FakeChain) -> None:
    """One that calls a transaction impossible, which another has, is not believed; the mildest refusal counts."""
    liar, honest = Node(chain, "liar"), Node(chain, "honest")
    node = AgreedNode(together(liar, honest))
    liar.refusal, honest.refusal = "intrinsic gas too low", "already known"
    await node.send_raw(b"\x02raw")
    honest.refusal = "replacement transaction underpriced"
    with pytest.raises(RpcRefused, match="underpriced"):
        await node.send_raw(b"\x02raw")


async def test_final_and_newest_blocks_are_those_of_all(chain: FakeChain) -> None:
    """The final block is the one that all hold for final."""
    behind = Node(chain, "behind")
    behind.height = 4
    latest, final = await AgreedNode(together(Node(chain, "a"), behind)).blocks(["latest", "finalized"])
    assert latest is not None
    assert final is not None
    assert final.number == 2
    assert latest.base_fee == 7
