"""EIP-2612: a signature in the place of an approval, where a token takes one.

The domain that is signed for is computed here, of the token's own address, and held against what the token says: a
token that gave another contract's domain could otherwise have people sign for that one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from eth_utils.crypto import keccak

from adapters.evm.abi import Function, encode_values
from adapters.evm.errors import BadAnswer, Reverted, RpcRefused
from adapters.evm.lockbox.bindings import Token
from adapters.evm.types import Call
from adapters.native.eip712 import PERMIT, sign_digest

if TYPE_CHECKING:
    from adapters.evm.rpc import EvmRpc

_DOMAIN: Final = keccak(text="EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
_VERSIONS: Final = ("1", "2")
"""What tokens call themselves in their domain; the standard does not say."""
LIFETIME_SECONDS: Final = 3600


@dataclass(frozen=True, slots=True)
class PermitTerms:
    """What a token asks of a permit. Fields: separator (of its domain, 32 bytes); nonce (the owner's next)."""

    separator: bytes
    nonce: int

    def sign(self, secret: bytes, owner: bytes, spender: bytes, amount: int, deadline: int) -> bytes:
        """The owner's permit, 65 bytes: `spender` may take `amount` until `deadline` (seconds since 1970)."""
        types = ("bytes32", "address", "address", "uint256", "uint256", "uint256")
        values = (keccak(text=PERMIT), owner, spender, amount, self.nonce, deadline)
        struct = keccak(encode_values(types, values, "permit"))
        return sign_digest(secret, keccak(b"\x19\x01" + self.separator + struct))


async def permit_terms(rpc: EvmRpc, chain_number: int, token: bytes, owner: bytes) -> PermitTerms | None:
    """What the token asks of its owner's next permit; None where it has none, or one that we do not understand."""
    said = await _answer(rpc, token, Token.domain_separator)
    name, nonce = await _answer(rpc, token, Token.name), await _answer(rpc, token, Token.nonces, owner)
    if said is None or name is None or nonce is None:
        return None
    for version in _VERSIONS:
        if separator(str(name), version, chain_number, token) == said:
            return PermitTerms(bytes(said), int(nonce))
    return None


def separator(name: str, version: str, chain_number: int, token: bytes) -> bytes:
    """The hash of a token's domain (EIP-712), 32 bytes."""
    types = ("bytes32", "bytes32", "bytes32", "uint256", "address")
    values = (_DOMAIN, keccak(text=name), keccak(text=version), chain_number, token)
    return keccak(encode_values(types, values, "domain"))


async def _answer(rpc: EvmRpc, token: bytes, function: Function, *arguments: bytes) -> Any:
    """What a token answers, of the function's type; None where it does not know the question."""
    try:
        answer = await rpc.call(Call(token, function.encode(*arguments), function.label))
        (value,) = function.decode(answer)
    except (Reverted, RpcRefused, BadAnswer):
        return None
    return value
