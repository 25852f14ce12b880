"""Which asset of an EVM chain a person means, registered or not yet, and where a person wants to be paid."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from adapters.evm.hexes import parse_address
from cli.exits import NotFound
from cli.registry_lookup import find_asset
from foundation.errors import BadInput
from registry.caip import AssetType, ChainId, chain_number, lockbox_asset
from registry.chains import Chain, ChainKind

if TYPE_CHECKING:
    from adapters.native.chain import NativeChain
    from registry.assets import Asset, AssetPolicy

_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
_KNOWN: Final = "causeway asset list shows them"


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A token of an open chain that nobody has registered yet: its first deposit introduces it.

    Fields: type (its CAIP-19 name); chain; policy (what it gets when vouchers introduce it).
    """

    type: AssetType
    chain: Chain
    policy: AssetPolicy

    @property
    def id(self) -> bytes:
        """The id that it will have, 32 bytes."""
        return self.type.id

    @property
    def caip19(self) -> str:
        """Its CAIP-19 text."""
        return str(self.type)


async def find_lockable(native: NativeChain, text: str, field: str = "ASSET") -> tuple[Asset | Newcomer, Chain]:
    """As `find_asset`, for an asset of an EVM chain; where the chain is open, it need not be registered yet.

    Raises also:
        BadInput: it is bitcoin, or of a kind that no Lockbox holds.
        NotFound: an unknown chain, or one whose new tokens nobody introduces.
    """
    try:
        asset = await find_asset(native, text, field)
    except NotFound:
        if "/" not in text:
            raise
        return await _newcomer(native, _asset_type(text, field), field)
    chain = await native.chain_info(asset.chain, "latest")
    assert chain is not None, "the Registry has the chain of each asset"
    if chain.kind is not ChainKind.EVM:
        raise BadInput(field, f"{asset.symbol} is not locked on an EVM chain", "causeway deposit address")
    return asset, chain


async def _newcomer(native: NativeChain, wanted: AssetType, field: str) -> tuple[Newcomer, Chain]:
    if wanted.chain.namespace != "eip155" or wanted.namespace != "erc20":
        raise NotFound(f"{wanted} is no asset that the bridge knows", _KNOWN)
    lockbox_asset(wanted)
    chain = await native.chain_by_text(str(wanted.chain), "latest")
    if chain is None:
        raise NotFound(f"the bridge does not know the chain {wanted.chain}", "causeway chain list shows them")
    policy = await native.chain_policy(chain.id, "latest")
    if policy is None:
        cure = "ask the bridge's owner to register it: causeway asset register"
        raise NotFound(f"{wanted} is not registered, and new tokens of {chain.caip2} are not taken", cure)
    return Newcomer(wanted, chain, policy), chain


def _asset_type(text: str, field: str) -> AssetType:
    """CAIP-19 text; an address in it may be written with a checksum. Raises `BadInput`."""
    head, mark, token = text.partition("/erc20:")
    if mark and _ADDRESS.fullmatch(token):
        return AssetType.parse(f"{head}{mark}0x{parse_address(token, field).hex()}", field)
    return AssetType.parse(text, field)


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a person wants to be paid. Fields: chain (CAIP-2 text; None: the address alone was given); address."""

    chain: str | None
    address: str

    @classmethod
    def parse(cls, text: str, field: str = "--to") -> Destination:
        """Read an address, or a CAIP-10 account, `namespace:reference:address`. Raises `BadInput`."""
        if ":" not in text:
            return cls(None, text)
        chain, _, address = text.rpartition(":")
        named = ChainId.parse(chain, field)
        if not address:
            raise BadInput(field, f"{text!r} has no address", "write chain:address, as CAIP-10 does")
        return cls(str(named), address)

    @property
    def looks_like_evm(self) -> bool:
        """Whether it can only be an account on an EVM chain."""
        return self.address.startswith("0x") or (self.chain or "").startswith("eip155:")


def number_of(chain: Chain) -> int:
    """The EIP-155 number of an EVM chain."""
    return chain_number(chain.chain_id)
