"""Chain ids (CAIP-2) and asset types (CAIP-19): text that names a chain or an asset, and its keccak-256 for contracts.

Sources: CAIP-2 and CAIP-19 (their syntax sections), the bip122 and eip155 namespaces of CAIPs, SLIP-44.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from eth_utils.crypto import keccak

from foundation.errors import BadInput

_NAMESPACE: Final = re.compile(r"[-a-z0-9]{3,8}", re.ASCII)
_CHAIN_REFERENCE: Final = re.compile(r"[-_a-zA-Z0-9]{1,32}", re.ASCII)
_ASSET_REFERENCE: Final = re.compile(r"[-.%a-zA-Z0-9]{1,128}", re.ASCII)
_BIP122_REFERENCE: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
_EIP155_REFERENCE: Final = re.compile(r"[1-9][0-9]{0,31}", re.ASCII)
_ADDRESS: Final = re.compile(r"0x[0-9a-f]{40}", re.ASCII)
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)

SLIP44_BITCOIN: Final = 0
SLIP44_TEST: Final = 1
"""SLIP-44's coin type for the test networks of every coin."""
SLIP44_ETHER: Final = 60
NATIVE_COIN: Final = bytes(20)
"""How a Lockbox names its chain's own coin: the address zero."""


@dataclass(frozen=True, slots=True)
class ChainId:
    """A blockchain, as CAIP-2 names it. Raises `BadInput` for parts that CAIP-2 does not allow.

    Fields: namespace (`bip122`, `eip155`, …); reference (the chain within it).
    """

    namespace: str
    reference: str

    def __post_init__(self) -> None:
        _require(_NAMESPACE, self.namespace, "chain.namespace", "3 to 8 of a-z, 0-9 and -")
        if self.namespace == "bip122":
            _require(_BIP122_REFERENCE, self.reference, "chain.reference", "the genesis hash's first 32 hex digits")
        elif self.namespace == "eip155":
            _require(_EIP155_REFERENCE, self.reference, "chain.reference", "the chain id, in decimal")
        else:
            _require(_CHAIN_REFERENCE, self.reference, "chain.reference", "1 to 32 of a-z, A-Z, 0-9, - and _")

    @classmethod
    def parse(cls, text: str, field: str = "chain") -> ChainId:
        """Read `namespace:reference`. Raises `BadInput` naming `field` or a part of it."""
        namespace, colon, reference = text.partition(":")
        if not colon:
            raise BadInput(field, f"{text!r} has no colon", "write namespace:reference, as CAIP-2 does")
        try:
            return cls(namespace, reference)
        except BadInput as error:
            raise BadInput(error.field.replace("chain", field, 1), error.problem, error.cure) from error

    def __str__(self) -> str:
        return f"{self.namespace}:{self.reference}"

    @property
    def id(self) -> bytes:
        """keccak-256 of the text, 32 bytes: how contracts name the chain."""
        return keccak(text=str(self))


@dataclass(frozen=True, slots=True)
class AssetType:
    """A fungible asset on a chain, as CAIP-19 names it. Raises `BadInput` for parts that CAIP-19 does not allow.

    Fields: chain; namespace (`slip44`, `erc20`, …); reference (the asset within it).
    """

    chain: ChainId
    namespace: str
    reference: str

    def __post_init__(self) -> None:
        _require(_NAMESPACE, self.namespace, "asset.namespace", "3 to 8 of a-z, 0-9 and -")
        _require(_ASSET_REFERENCE, self.reference, "asset.reference", "1 to 128 of a-z, A-Z, 0-9, -, . and %")

    @classmethod
    def parse(cls, text: str, field: str = "asset") -> AssetType:
        """Read `chain/namespace:reference`. Raises `BadInput` naming `field` or a part of it."""
        chain, slash, asset = text.partition("/")
        namespace, colon, reference = asset.partition(":")
        if not slash or not colon:
            raise BadInput(field, f"{text!r} is no asset type", "write chain/namespace:reference, as CAIP-19 does")
        if "/" in reference:
            raise BadInput(field, f"{text!r} names a single token", "name an asset of which all units are alike")
        try:
            return cls(ChainId.parse(chain, f"{field}.chain"), namespace, reference)
        except BadInput as error:
            name = error.field if error.field.startswith(field) else error.field.replace("asset", field, 1)
            raise BadInput(name, error.problem, error.cure) from error

    def __str__(self) -> str:
        return f"{self.chain}/{self.namespace}:{self.reference}"

    @property
    def id(self) -> bytes:
        """keccak-256 of the text, 32 bytes: how contracts name the asset."""
        return keccak(text=str(self))


class BitcoinGenesis(Enum):
    """The hashes of bitcoin's genesis blocks, 32 bytes in internal (wire) byte order."""

    MAIN = bytes.fromhex("000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f")[::-1]
    TESTNET = bytes.fromhex("000000000933ea01ad0ee984209779baaec3ced90fa3f408719526f8d77f4943")[::-1]
    TESTNET4 = bytes.fromhex("00000000da84f2bafbbc53dee25a72ae507ff4914b867c565be350b0da8bf043")[::-1]
    SIGNET = bytes.fromhex("00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6")[::-1]
    REGTEST = bytes.fromhex("0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206")[::-1]


def bitcoin_chain(genesis: bytes) -> ChainId:
    """The chain id of the bitcoin chain with this genesis hash (32 bytes, internal byte order).

    Raises:
        BadInput: it is not 32 bytes.
    """
    if len(genesis) != 32:
        raise BadInput("genesis", f"{len(genesis)} bytes", "32 bytes")
    return ChainId("bip122", genesis[::-1].hex()[:32])


def bitcoin_asset(genesis: bytes) -> AssetType:
    """Bitcoin itself on the chain with this genesis hash: SLIP-44 coin 0 on the main network, 1 on all others.

    Raises:
        BadInput: the hash is not 32 bytes.
    """
    coin = SLIP44_BITCOIN if genesis == BitcoinGenesis.MAIN.value else SLIP44_TEST
    return AssetType(bitcoin_chain(genesis), "slip44", str(coin))


def evm_chain(chain_id: int) -> ChainId:
    """The chain id of an EVM chain, from its EIP-155 number. Raises `BadInput` where that is not positive."""
    return ChainId("eip155", str(chain_id))


def evm_coin(chain: ChainId, coin_type: int = SLIP44_ETHER) -> AssetType:
    """An EVM chain's own coin, by its SLIP-44 number. Raises `BadInput` for a chain of another kind."""
    _require_evm(chain)
    return AssetType(chain, "slip44", str(coin_type))


def erc20(chain: ChainId, token: bytes) -> AssetType:
    """An ERC-20 token (contract address, 20 bytes) on an EVM chain, written in lower case: one asset has one text.

    Raises:
        BadInput: the chain is of another kind, or the address is none, or zero.
    """
    _require_evm(chain)
    if len(token) != 20 or not any(token):
        raise BadInput("token", "is no contract's address", "20 bytes, not all zero")
    return AssetType(chain, "erc20", "0x" + token.hex())


def lockbox_asset(asset: AssetType) -> bytes:
    """How the Lockbox of an asset's chain names it: the token's address, `NATIVE_COIN` for any `slip44` (20 bytes).

    Raises:
        BadInput: no Lockbox can hold the asset: it is of another kind of chain, or no coin and no ERC-20, or its
            address is not in lower case.
    """
    _require_evm(asset.chain, "asset.chain")
    if asset.namespace == "slip44":
        _require(_NUMBER, asset.reference, "asset.reference", "the coin's SLIP-44 number")
        return NATIVE_COIN
    if asset.namespace != "erc20":
        raise BadInput("asset.namespace", f"{asset.namespace!r} is not supported", "slip44 or erc20")
    _require(_ADDRESS, asset.reference, "asset.reference", "0x and 40 hex digits in lower case")
    token = bytes.fromhex(asset.reference[2:])
    if token == NATIVE_COIN:
        raise BadInput("asset.reference", "is the address zero", "the token's contract, or slip44 for the coin")
    return token


def chain_number(chain: ChainId, field: str = "chain") -> int:
    """The EIP-155 number of an EVM chain. Raises `BadInput` naming `field` for a chain of another kind."""
    _require_evm(chain, field)
    return int(chain.reference)


def _require_evm(chain: ChainId, field: str = "chain") -> None:
    if chain.namespace != "eip155":
        raise BadInput(f"{field}.namespace", f"{chain} is no EVM chain", "a chain of eip155:")


def _require(pattern: re.Pattern[str], text: str, field: str, cure: str) -> None:
    if not pattern.fullmatch(text):
        raise BadInput(field, f"{text!r} is not allowed", cure)
