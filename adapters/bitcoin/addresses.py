"""Addresses: text at the edge, scripts inside. Source: BIP-173, BIP-350, base58check."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.bitcoin._wally import base58check, base58check_payload, segwit_address, segwit_script
from adapters.bitcoin.primitives import parse_hash
from adapters.bitcoin.scripts import ScriptKind, script_kind
from foundation.errors import BadInput


@dataclass(frozen=True, slots=True)
class Network:
    """A bitcoin network.

    Fields: name (as Bitcoin Core's `getblockchaininfo` gives it); prefix (of bech32 addresses); p2pkh, p2sh (version
    bytes of base58 addresses); genesis (hash of block 0, 32 bytes, internal byte order); minimum_delay (the shortest
    delay of a deposit's reclaim, in blocks).
    """

    name: str
    prefix: str
    p2pkh: int
    p2sh: int
    genesis: bytes
    minimum_delay: int

    @property
    def caip2(self) -> str:
        """The chain's identifier: `bip122:` and the first 32 hex digits of the genesis hash (CAIP-4)."""
        return f"bip122:{self.genesis[::-1].hex()[:32]}"


def _network(name: str, prefix: str, p2pkh: int, p2sh: int, genesis: str, minimum_delay: int = 144) -> Network:
    return Network(name, prefix, p2pkh, p2sh, parse_hash(genesis), minimum_delay)


MAINNET = _network("main", "bc", 0, 5, "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f")
TESTNET3 = _network("test", "tb", 111, 196, "000000000933ea01ad0ee984209779baaec3ced90fa3f408719526f8d77f4943")
TESTNET4 = _network("testnet4", "tb", 111, 196, "00000000da84f2bafbbc53dee25a72ae507ff4914b867c565be350b0da8bf043")
SIGNET = _network("signet", "tb", 111, 196, "00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6")
REGTEST = _network("regtest", "bcrt", 111, 196, "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206", 1)

NETWORKS = {network.name: network for network in (MAINNET, TESTNET3, TESTNET4, SIGNET, REGTEST)}


def network_named(name: str, field: str = "network") -> Network:
    """The network of that name. Raises `BadInput` naming `field`."""
    try:
        return NETWORKS[name]
    except KeyError:
        raise BadInput(field, f"{name!r} is no bitcoin network", f"one of {', '.join(NETWORKS)}") from None


def address_text(script: bytes, network: Network) -> str:
    """The address of a scriptPubKey.

    Raises:
        BadInput: the script has no address.
    """
    kind = script_kind(script)
    if kind is ScriptKind.P2PKH:
        return base58check(bytes([network.p2pkh]) + script[3:23])
    if kind is ScriptKind.P2SH:
        return base58check(bytes([network.p2sh]) + script[2:22])
    if kind is None:
        raise BadInput("script", f"{script.hex()} has no address")
    return segwit_address(script, network.prefix)


def parse_address(text: str, network: Network, field: str = "address") -> bytes:
    """The scriptPubKey of an address: P2PKH, P2SH, P2WPKH, P2WSH or P2TR.

    Raises:
        BadInput: naming `field`: malformed, of another network, or of a kind that we do not know.
    """
    cure = f"an address of the network {network.name}"
    if not text.isascii() or not 14 <= len(text) <= 90:
        raise BadInput(field, "is no bitcoin address", cure)
    prefix = text.lower().rpartition("1")[0]
    other = next((known for known in NETWORKS.values() if known.prefix == prefix), None)
    if other is not None:
        return _parse_segwit(text, network, field, cure)
    try:
        payload = base58check_payload(text)
    except ValueError as error:
        raise BadInput(field, "is no bitcoin address, or is mistyped: the checksum is wrong", cure) from error
    if len(payload) == 21 and payload[0] == network.p2pkh:
        return b"\x76\xa9\x14" + payload[1:] + b"\x88\xac"
    if len(payload) == 21 and payload[0] == network.p2sh:
        return b"\xa9\x14" + payload[1:] + b"\x87"
    raise BadInput(field, "is an address of another network", cure)


def _parse_segwit(text: str, network: Network, field: str, cure: str) -> bytes:
    if text.lower().rpartition("1")[0] != network.prefix:
        raise BadInput(field, "is an address of another network", cure)
    try:
        script = segwit_script(text, network.prefix)
    except ValueError as error:
        raise BadInput(field, "is mistyped: the checksum or the length is wrong", cure) from error
    if script_kind(script) is None:
        raise BadInput(field, "is of a kind that this version does not know", cure)
    return script
