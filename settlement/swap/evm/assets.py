"""Whether an asset is what a trader's list says: amounts are agreed in base units, and shown by its decimals."""

from __future__ import annotations

from adapters.evm.endpoints import Endpoints
from adapters.evm.errors import BadAnswer, Reverted
from adapters.evm.escrow.contract import EscrowContract
from adapters.evm.lockbox.tokens import TokenDescription, token_description
from adapters.evm.lockbox.types import NATIVE_COIN
from foundation.quantities import BlockHeight
from settlement.swap.evm.errors import AssetMismatch
from settlement.swap.evm.site import EscrowSite


async def read_token(heads: Endpoints, site: EscrowSite, token: bytes, at: BlockHeight) -> TokenDescription:
    """What a token (20 bytes) says of itself after block `at`, on which all endpoints agree: a stranger's words.

    Raises:
        AssetMismatch: no contract is there, or it answers not as an ERC-20 does.
        As `Endpoints.call`.
    """
    if not await heads.code(token, at):
        raise AssetMismatch(token, "code", "an ERC-20", "no contract")
    contract = EscrowContract(heads, site.escrow)
    try:
        await contract.balance(site.escrow, token, at)
        await contract.decimals(token, at)
    except (BadAnswer, Reverted) as error:
        raise AssetMismatch(token, "interface", "an ERC-20", str(error)) from error
    return await token_description(heads, token, at)


async def check_asset(
    heads: Endpoints, site: EscrowSite, asset: bytes, at: BlockHeight, *, decimals: int, symbol: str | None = None
) -> None:
    """Make sure that an asset is what the caller's list of assets says; the coin always is.

    Args:
        heads: the chain's endpoints.
        site: the Escrow.
        asset: a token, or zero for the coin, 20 bytes. One that is on no list is the caller's to refuse.
        at: the block.
        decimals: what the list says; so many base units are one.
        symbol: what the list says, where it says something.

    Raises:
        AssetMismatch: it is something else.
        As `Endpoints.call`.
    """
    if asset == NATIVE_COIN:
        return
    found = await read_token(heads, site, asset, at)
    if found.decimals != decimals:
        raise AssetMismatch(asset, "decimals", str(decimals), str(found.decimals))
    if symbol is not None and found.symbol != symbol:
        raise AssetMismatch(asset, "symbol", symbol, found.symbol)
