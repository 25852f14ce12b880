"""How unknown tokens describe themselves: alike on every node, in what the Registry takes."""

from __future__ import annotations

import asyncio

import pytest
from eth_abi.abi import encode
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.evm.errors import EndpointsDisagree, RpcRefused
from adapters.evm.lockbox.bindings import Token
from adapters.evm.lockbox.tokens import TokenDescription, describe, token_description
from adapters.evm.transport import NodeError
from foundation.quantities import BlockHeight
from tests.support.evm_endpoint import FakeChain, together

TOKEN = bytes.fromhex("a0b86991c6218b36c1d19d4a2e9eb0ce3606eb48")
NAMELESS = TokenDescription("Token 0xa0b86991", "TA0B869", 0)


def string(text: str) -> bytes:
    """What a function of type string returns."""
    return encode(["string"], [text])


def number(value: int) -> bytes:
    """What a function of a number type returns."""
    return value.to_bytes(32, "big")


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("USD Coin", "USD Coin"),
        ("  spaced out  ", "spaced out"),
        ("Tether USD₮0", "Tether USD0"),
        ("x" * 40, "x" * 25),
        ("a" * 24 + " b", "a" * 24),
        ("line\nbreak\x00\x7f", "linebreak"),
        ("", "Token 0xa0b86991"),
        ("₮₮", "Token 0xa0b86991"),
        ("   ", "Token 0xa0b86991"),
    ],
)
def test_names_keep_what_is_printable(name: str, kept: str) -> None:
    """Other than printable ASCII is dropped, ends are trimmed, 25 characters are kept; nothing left is the address."""
    assert describe(TOKEN, string(name), b"", b"").name == kept


@pytest.mark.parametrize(
    ("symbol", "kept"), [("USDC", "USDC"), ("U S D", "USD"), ("x" * 40, "x" * 10), (" ", "TA0B869"), ("é", "TA0B869")]
)
def test_symbols_have_no_spaces(symbol: str, kept: str) -> None:
    """A symbol has no space at all, and at most 10 characters."""
    assert describe(TOKEN, b"", string(symbol), b"").symbol == kept


def test_old_tokens_say_bytes32() -> None:
    """Text in 32 bytes with zeros behind it is read too."""
    told = describe(TOKEN, b"Maker".ljust(32, b"\0"), b"MKR".ljust(32, b"\0"), number(18))
    assert told == TokenDescription("Maker", "MKR", 18)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x01",
        number(32) + number(99) + b"short",
        number(2**255) + number(1),
        number(32),
        number(32) + number(2**200),
    ],
)
def test_nonsense_is_nothing(answer: bytes) -> None:
    """What is no text has no letters: the address speaks."""
    told = describe(TOKEN, answer, answer, b"\x01")
    assert told.name == NAMELESS.name or len(answer) == 32
    assert told.decimals == 0


@pytest.mark.parametrize(("answer", "decimals"), [(0, 0), (6, 6), (77, 77), (255, 255), (256, 0), (2**256 - 1, 0)])
def test_decimals_fit_a_byte(answer: int, decimals: int) -> None:
    """More than 255 decimals are none."""
    assert describe(TOKEN, b"", b"", number(answer)).decimals == decimals


@settings(max_examples=200)
@given(st.binary(max_size=200), st.binary(max_size=200), st.binary(max_size=64))
def test_whatever_a_token_answers_the_registry_takes(name: bytes, symbol: bytes, decimals: bytes) -> None:
    """No answer makes a description that the Registry would refuse."""
    told = describe(TOKEN, name, symbol, decimals)
    assert 1 <= len(told.name) <= 25
    assert told.name == told.name.strip()
    assert all(" " <= letter <= "~" for letter in told.name)
    assert 1 <= len(told.symbol) <= 10
    assert all("!" <= letter <= "~" for letter in told.symbol)
    assert 0 <= told.decimals <= 255


def chain_with_token(name: bytes | Exception, symbol: bytes | Exception, decimals: bytes | Exception) -> FakeChain:
    """A chain with a token that answers so."""
    chain = FakeChain()
    for function, answer in ((Token.name, name), (Token.symbol, symbol), (Token.decimals, decimals)):
        chain.answers[TOKEN, function.encode()] = answer
    return chain


async def test_a_token_is_asked_through_all_endpoints() -> None:
    """The description is what all endpoints say of the token at that block."""
    chain = chain_with_token(string("USD Coin"), string("USDC"), number(6))
    endpoints = together(chain.endpoint(), chain.endpoint("second"))
    assert await token_description(endpoints, TOKEN, BlockHeight(0)) == TokenDescription("USD Coin", "USDC", 6)


@pytest.mark.parametrize(
    "failure",
    [
        NodeError("eth_call", 3, "execution reverted", "0x"),
        NodeError("eth_call", -32000, "out of gas"),
        NodeError("eth_call", -32000, "invalid opcode: INVALID"),
    ],
)
async def test_a_token_that_fails_has_no_description(failure: Exception) -> None:
    """Functions that revert, or fail otherwise, are the same as none."""
    chain = chain_with_token(failure, failure, failure)
    assert await token_description(together(chain.endpoint()), TOKEN, BlockHeight(0)) == NAMELESS


async def test_a_nodes_own_trouble_is_not_the_tokens() -> None:
    """A node that has not the state of that block does not make a nameless token of it."""
    trouble = NodeError("eth_call", -32000, "missing trie node 0123 (path )")
    chain = chain_with_token(trouble, trouble, trouble)
    with pytest.raises(RpcRefused):
        await token_description(together(chain.endpoint()), TOKEN, BlockHeight(0))


def test_a_lie_about_a_token_is_noticed() -> None:
    """Endpoints that describe a token differently make no asset."""
    chain = chain_with_token(string("USD Coin"), string("USDC"), number(6))
    liar = chain.endpoint("liar")
    liar.chain = chain_with_token(string("USD Coin"), string("USDC"), number(18))
    with pytest.raises(EndpointsDisagree):
        asyncio.run(token_description(together(chain.endpoint(), liar), TOKEN, BlockHeight(0)))
