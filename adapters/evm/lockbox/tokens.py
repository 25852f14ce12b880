"""How a token that the bridge has never seen describes itself, in words that every honest node derives alike.

Source: EIP-20's optional `name`, `symbol` and `decimals`; tokens older than it return bytes32. What a token says is a
stranger's text: only what the Registry takes is left of it, and where nothing is, its address speaks.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from adapters.evm.abi import Function
from adapters.evm.endpoint import Endpoint
from adapters.evm.endpoints import Endpoints
from adapters.evm.errors import Reverted, RpcRefused
from adapters.evm.lockbox.bindings import Token
from adapters.evm.lockbox.types import check_address
from adapters.evm.types import Call
from foundation.quantities import BlockHeight

MAX_NAME: Final = 25
MAX_SYMBOL: Final = 10
MAX_DECIMALS: Final = 255

_WORD: Final = 32
_HALTS: Final = (
    "out of gas",
    "outofgas",
    "invalid opcode",
    "invalid jump",
    "invalidjump",
    "invalidfe",
    "opcodenotfound",
)
_MORE_HALTS: Final = (
    "stack underflow",
    "stackunderflow",
    "stack limit",
    "write protection",
    "out of bounds",
    "vm execution",
)


@dataclass(frozen=True, slots=True)
class TokenDescription:
    """What the Registry is told. Fields: name (1 to 25 characters); symbol (1 to 10); decimals (0 to 255)."""

    name: str
    symbol: str
    decimals: int


async def token_description(endpoints: Endpoints, token: bytes, at: BlockHeight) -> TokenDescription:
    """How the token (address of 20 bytes) describes itself after block `at`, on which all endpoints agree.

    Raises:
        EndpointsDisagree, TooFewEndpoints: see `adapters.evm.endpoints`.
        BadInput: no address.
    """
    check_address(token, "token", zero_allowed=False)

    async def read(function: Function) -> bytes:
        call = Call(token, function.encode(), f"{function.name}() of token 0x{token.hex()}")

        async def ask(endpoint: Endpoint) -> bytes:
            try:
                return await endpoint.rpc.call(call, at)
            except Reverted:
                return b""
            except RpcRefused as error:
                if not _is_halt(error):
                    raise
                return b""

        return await endpoints.agreed(f"{call.label} at block {at:,}", ask, lambda answer: f"0x{answer.hex()}")

    name, symbol, decimals = await asyncio.gather(*(read(each) for each in (Token.name, Token.symbol, Token.decimals)))
    return describe(token, name, symbol, decimals)


def describe(token: bytes, name: bytes, symbol: bytes, decimals: bytes) -> TokenDescription:
    """The description out of what the three functions returned; empty where a function failed. Pure."""
    digits = token.hex()
    return TokenDescription(
        _printable(_text(name), " ", MAX_NAME) or f"Token 0x{digits[:8]}",
        _printable(_text(symbol), "!", MAX_SYMBOL) or f"T{digits[:6].upper()}",
        _small_number(decimals),
    )


def _text(answer: bytes) -> bytes:
    """The text in an answer: of type string, or of type bytes32 with zeros behind it."""
    if len(answer) == _WORD:
        return answer
    start = int.from_bytes(answer[:_WORD], "big") + _WORD
    length = int.from_bytes(answer[start - _WORD : start], "big")
    # Python's slices are forgiving, so what points outside has to be refused: others would read something else.
    return answer[start : start + length] if start + length <= len(answer) else b""


def _printable(text: bytes, lowest: str, length: int) -> str:
    kept = "".join(chr(byte) for byte in text if ord(lowest) <= byte <= ord("~"))
    return kept.strip()[:length].rstrip()


def _small_number(answer: bytes) -> int:
    number = int.from_bytes(answer[:_WORD], "big")
    return number if len(answer) >= _WORD and number <= MAX_DECIMALS else 0


def _is_halt(error: RpcRefused) -> bool:
    """Whether the token's code failed without reverting. Anything else is the node's own trouble, and may pass."""
    words = error.message.lower()
    return any(word in words for word in (*_HALTS, *_MORE_HALTS))
