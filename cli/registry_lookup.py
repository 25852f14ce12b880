"""Finding a chain or an asset by what a person writes: id, CAIP text, mapping token, symbol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from cli.exits import NotFound
from foundation.errors import BadInput

if TYPE_CHECKING:
    from adapters.native.chain import NativeChain
    from registry.assets import Asset
    from registry.chains import Chain

_LEAST_DIGITS: Final = 6
"""Of an id's beginning: fewer are more likely a symbol or a mistake."""
_MAPPED: Final = "cw"
"""What a mapping token's symbol begins with."""
_HEX: Final = frozenset("0123456789abcdef")
_SHOWN: Final = 8


def chosen_chain(chains: Sequence[Chain], text: str) -> Chain:
    """The chain with that CAIP-2 text, or that id or its beginning. Raises `NotFound`, `BadInput`."""
    digits = _digits(text)
    fitting = [chain for chain in chains if chain.caip2 == text]
    if not fitting and digits is not None:
        fitting = [chain for chain in chains if chain.id.hex().startswith(digits)]
    if not fitting:
        raise NotFound(f"no chain {text!r} is registered", "causeway chain list shows all")
    if len(fitting) > 1:
        raise BadInput("CHAIN", f"{len(fitting)} chains begin with {text}", "write more of the id")
    return fitting[0]


def chosen_asset(assets: Sequence[Asset], text: str) -> Asset:
    """The asset with that CAIP-19 text, symbol (also as its mapping token writes it), or id or its beginning.

    Raises:
        NotFound: there is none.
        BadInput: there are several; it names them.
    """
    if "/" in text:
        # A contract's address is registered in lower case, however a person writes it.
        chain, _, asset = text.partition("/")
        name = f"{chain}/{asset.lower() if asset.startswith('erc20:') else asset}"
        fitting = [asset_ for asset_ in assets if asset_.caip19 == name]
    else:
        fitting = _by_symbol(assets, text) or _by_id(assets, text)
    if not fitting:
        raise NotFound(f"no asset {text!r} is registered", "causeway asset list shows all")
    if len(fitting) > 1:
        shown = ", ".join(f"{asset.id.hex()[:_SHOWN]} ({asset.caip19})" for asset in fitting)
        raise BadInput("ASSET", f"{text!r} may be {shown}", "name it by its id or its CAIP-19 text")
    return fitting[0]


async def find_asset(native: NativeChain, text: str, field: str = "ASSET") -> Asset:
    """The asset that a person means; besides `chosen_asset`, by its mapping token (0x and 40 hex digits).

    Raises:
        NotFound, BadInput: as `chosen_asset`.
    """
    from adapters.evm.hexes import parse_address

    assets = await native.assets("latest")
    if text.lower().startswith("0x") and len(text) == 42:
        token = parse_address(text, field)
        found = await native.asset_of(token, "latest")
        by_token = [asset for asset in assets if asset.id == found]
        if by_token:
            return by_token[0]
        origin = [asset for asset in assets if asset.caip19.endswith(f"/erc20:0x{token.hex()}")]
        cure = "causeway asset list shows all"
        if origin:
            names = ", ".join(asset.caip19 for asset in origin)
            cure = f"it is an origin's contract: name the asset as {names}"
        raise NotFound(f"0x{token.hex()} is no mapping token of this bridge", cure)
    return chosen_asset(assets, text)


async def find_chain(native: NativeChain, text: str) -> Chain:
    """The chain that a person means. Raises as `chosen_chain`."""
    return chosen_chain(await native.chains("latest"), text)


def shared_symbols(assets: Sequence[Asset]) -> dict[str, list[Asset]]:
    """The assets that share a symbol, by it in capitals: a person could take one for the other."""
    found: dict[str, list[Asset]] = {}
    for asset in assets:
        found.setdefault(asset.symbol.upper(), []).append(asset)
    return {symbol: sharing for symbol, sharing in found.items() if len(sharing) > 1}


def _by_symbol(assets: Sequence[Asset], text: str) -> list[Asset]:
    """Whatever the case: symbols that differ in nothing else are meant to be mistaken."""
    wanted = text.upper()
    found = [asset for asset in assets if asset.symbol.upper() == wanted]
    if not found and wanted.startswith(_MAPPED.upper()):
        found = [asset for asset in assets if (_MAPPED + asset.symbol).upper() == wanted]
    return found


def _by_id(assets: Sequence[Asset], text: str) -> list[Asset]:
    digits = _digits(text)
    return [] if digits is None else [asset for asset in assets if asset.id.hex().startswith(digits)]


def _digits(text: str) -> str | None:
    """The hex digits of an id or of its beginning; None where it is neither."""
    digits = text.lower().removeprefix("0x").rstrip("…")
    return digits if _LEAST_DIGITS <= len(digits) <= 64 and set(digits) <= _HEX else None
