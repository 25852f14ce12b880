"""Several endpoints of one chain: what they agree on counts, and whoever lies or fails is named."""

from __future__ import annotations

import pytest

from adapters.evm.endpoint import Endpoint, distinct
from adapters.evm.endpoints import Endpoints
from adapters.evm.errors import (
    EndpointsDisagree,
    FalseHeader,
    NodeUnavailable,
    Reverted,
    TooFewEndpoints,
    WrongChain,
)
from adapters.evm.transport import NodeError
from adapters.evm.types import Call
from foundation.errors import BadInput
from foundation.quantities import BlockHeight
from tests.support.evm_endpoint import LOCKBOX, FakeChain, together

CALL = Call(LOCKBOX, b"\x01\x02\x03\x04", "Lockbox.key")


def chain_of(blocks: int, salt: bytes = b"") -> FakeChain:
    """A chain with so many blocks after its genesis."""
    made = FakeChain(salt)
    for _ in range(blocks):
        made.mine()
    return made


async def test_a_false_genesis_is_fatal() -> None:
    """An endpoint with the right number and another genesis block is of a false chain, whatever the others say."""
    chain, false = chain_of(3), chain_of(3, b"false")
    endpoints = together(chain.endpoint(), false.endpoint("liar"), quorum=1)
    with pytest.raises(WrongChain) as refusal:
        await endpoints.check()
    assert (refusal.value.endpoint, refusal.value.field) == ("liar", "genesis block")


async def test_a_false_chain_id_is_fatal() -> None:
    """An endpoint with another EIP-155 number is refused."""
    node = chain_of(3).endpoint()
    node.lies["eth_chainId"] = lambda _params, _truth: "0x1"
    with pytest.raises(WrongChain) as refusal:
        await together(node).check()
    assert (refusal.value.field, refusal.value.found) == ("chain id", "1")


async def test_the_final_block_is_the_lowest() -> None:
    """An endpoint that is behind decides what is final for all, and it shows who it is."""
    chain = chain_of(20)
    stale = chain.endpoint("stale")
    stale.height = 12
    endpoints = together(chain.endpoint(), stale)
    final = await endpoints.final()
    assert final is not None
    assert final.number == 12
    assert endpoints.heights == {"node": 20, "stale": 12}


@pytest.mark.parametrize(("confirmations", "number"), [(1, 20), (2, 19), (20, 1), (21, 0)])
async def test_finality_by_confirmations(confirmations: int, number: int) -> None:
    """With n confirmations the newest final block is n - 1 below the newest of all."""
    final = await together(chain_of(20).endpoint(), confirmations=confirmations).final()
    assert final is not None
    assert final.number == number


async def test_a_young_chain_has_no_final_block() -> None:
    """With fewer blocks than confirmations nothing is final."""
    assert await together(chain_of(5).endpoint(), confirmations=7).final() is None


async def test_finality_by_the_chains_own_word() -> None:
    """Without a number of confirmations the chain's finalized block counts."""
    chain = chain_of(20)
    chain.final_behind = 6
    final = await together(chain.endpoint()).final()
    assert final is not None
    assert final.number == 14


async def test_different_final_blocks_are_told() -> None:
    """Endpoints at a fork stop everything, and the error says who holds which block."""
    chain = chain_of(10)
    fork = chain.fork(8)
    fork.mine()
    fork.mine()
    with pytest.raises(EndpointsDisagree) as refusal:
        await together(chain.endpoint(), fork.endpoint("forked")).final()
    assert refusal.value.answers["forked"] == fork.blocks[10]["hash"]
    assert refusal.value.answers["node"] == chain.blocks[10]["hash"]


async def test_all_have_to_answer_by_default() -> None:
    """Without a quorum of their own all endpoints are needed, and whoever is silent is named."""
    chain = chain_of(3)
    silent = chain.endpoint("silent")
    silent.is_down = True
    with pytest.raises(TooFewEndpoints) as refusal:
        await together(chain.endpoint(), silent).final()
    assert list(refusal.value.failures) == ["silent"]


async def test_a_quorum_does_without_the_silent() -> None:
    """With a quorum the others are enough, and the silent one is reported until it answers."""
    chain = chain_of(3)
    silent = chain.endpoint("silent")
    silent.is_down = True
    endpoints = together(chain.endpoint("a"), silent, chain.endpoint("c"), quorum=2)
    assert await endpoints.final() is not None
    assert isinstance(endpoints.faults["silent"], NodeUnavailable)
    silent.is_down = False
    await endpoints.final()
    assert not endpoints.faults


async def test_a_quorum_does_not_outvote() -> None:
    """An endpoint that answers otherwise is heard even where a quorum agrees."""
    chain = chain_of(5)
    fork = chain.fork(4)
    fork.mine()
    with pytest.raises(EndpointsDisagree):
        await together(chain.endpoint("a"), chain.endpoint("b"), fork.endpoint("c"), quorum=2).final()


async def test_one_endpoint_fails_with_its_own_error() -> None:
    """Where there is only one endpoint, its error is the answer."""
    node = chain_of(3).endpoint()
    node.is_down = True
    with pytest.raises(NodeUnavailable):
        await together(node).final()


async def test_whoever_comes_back_is_checked_again() -> None:
    """After a failure another node may be behind the same name: its genesis block is looked at again."""
    chain = chain_of(3)
    node = chain.endpoint()
    endpoints = together(node)
    await endpoints.final()
    node.is_down = True
    with pytest.raises(NodeUnavailable):
        await endpoints.final()
    node.is_down, node.chain = False, chain_of(3, b"false")
    with pytest.raises(WrongChain):
        await endpoints.final()


async def test_reads_of_state_have_to_agree() -> None:
    """A balance, a code or a call's answer that one endpoint tells otherwise is refused."""
    chain = chain_of(3)
    chain.answers[CALL.to or b"", CALL.data] = b"\x07" * 32
    chain.balances[LOCKBOX] = 2**200
    chain.code[LOCKBOX] = b"\xfe"
    liar = chain.endpoint("liar")
    endpoints = together(chain.endpoint(), liar)
    at = BlockHeight(3)
    assert await endpoints.call(CALL, at) == b"\x07" * 32
    assert await endpoints.balance(LOCKBOX, at) == 2**200
    assert await endpoints.code(LOCKBOX, at) == b"\xfe"
    liar.lies = {name: lambda _params, _truth: "0x08" for name in ("eth_call", "eth_getBalance", "eth_getCode")}
    for reading in (endpoints.call(CALL, at), endpoints.balance(LOCKBOX, at), endpoints.code(LOCKBOX, at)):
        with pytest.raises(EndpointsDisagree) as refusal:
            await reading
        assert set(refusal.value.answers) == {"node", "liar"}


async def test_a_refusal_is_an_answer() -> None:
    """A contract's refusal is passed on where all tell it, and a disagreement where one does not."""
    chain = chain_of(3)
    chain.answers[LOCKBOX, CALL.data] = NodeError("eth_call", 3, "execution reverted", "0x")
    honest, liar = chain.endpoint(), chain.endpoint("liar")
    endpoints = together(honest, liar)
    with pytest.raises(Reverted):
        await endpoints.call(CALL, BlockHeight(3))
    liar.chain = chain.fork(3)
    liar.chain.answers[LOCKBOX, CALL.data] = b"\x01"
    with pytest.raises(EndpointsDisagree):
        await endpoints.call(CALL, BlockHeight(3))


async def test_the_next_endpoint_is_read_where_one_lies() -> None:
    """What one endpoint cannot prove is read from the next, which is asked first from then on."""
    chain = chain_of(3)
    liar, honest = chain.endpoint("liar"), chain.endpoint("honest")
    endpoints = together(liar, honest)
    await endpoints.check()
    liar.lies["eth_getBlockByNumber"] = lambda _params, truth: truth | {"stateRoot": "0x" + "00" * 32}

    async def ask(endpoint: Endpoint) -> str:
        await endpoint.headers([BlockHeight(2)])
        return endpoint.name

    assert await endpoints.read(ask) == "honest"
    assert isinstance(endpoints.lies["liar"], FalseHeader)
    asked = len(liar.asked)
    assert await endpoints.read(ask) == "honest"
    assert len(liar.asked) == asked


async def test_where_all_lie_a_lie_is_raised() -> None:
    """Of several failures the lie is what is told."""
    chain = chain_of(3)
    silent, liar = chain.endpoint("silent"), chain.endpoint("liar")
    endpoints = together(silent, liar)
    await endpoints.check()
    silent.is_down = True
    liar.lies["eth_getBlockByNumber"] = lambda _params, truth: truth | {"stateRoot": "0x" + "00" * 32}
    with pytest.raises(FalseHeader):
        await endpoints.read(lambda endpoint: endpoint.headers([BlockHeight(2)]))


def test_names_tell_no_secrets() -> None:
    """An endpoint is named by host and port, never by a password or an API key in its URL, and no two are alike."""
    urls = ("https://user:secret@rpc.example/v3/key", "https://rpc.example/v3/other", "http://127.0.0.1:8545")
    assert [each.name for each in distinct([Endpoint.at(url) for url in urls])] == [
        "rpc.example",
        "rpc.example#2",
        "127.0.0.1:8545",
    ]


@pytest.mark.parametrize("url", ["", "rpc.example", "ftp://rpc.example", "http://"])
def test_what_is_no_url_is_refused(url: str) -> None:
    """An endpoint has to be an HTTP address."""
    with pytest.raises(BadInput):
        Endpoint.at(url)


@pytest.mark.parametrize("quorum", [0, 2])
def test_an_impossible_quorum_is_refused(quorum: int) -> None:
    """A quorum is 1 to all."""
    with pytest.raises(BadInput):
        together(FakeChain().endpoint(), quorum=quorum)


def test_a_chain_needs_an_endpoint() -> None:
    """Without endpoints nothing can be followed."""
    with pytest.raises(BadInput):
        Endpoints([], FakeChain().chain)
