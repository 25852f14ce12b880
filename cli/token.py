"""`causeway token`: how many tokens an account has, and sending them."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from cli.context import (
    AccountKeyOption,
    JsonOption,
    NetworkOption,
    account_secret,
    command_group,
    network_file,
    open_native,
    open_sender,
    run,
)
from cli.output import Output, facts
from foundation.errors import BadInput
from foundation.quantities import TokenUnits

if TYPE_CHECKING:
    from adapters.native.chain import NativeChain
    from cli.context import NetworkFile
    from registry.assets import Asset

app = command_group("Mapping tokens: an account's balance, and sending them.")

AssetOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--asset",
        metavar="ASSET",
        help="Symbol, CAIP-19 text, id or mapping token; by default bitcoin.",
        show_default=False,
    ),
]


async def _asset(native: NativeChain, network: NetworkFile, text: str | None) -> Asset:
    """The asset that is meant. Raises `NotFound`, `BadInput`."""
    from cli.exits import NotFound
    from cli.registry_lookup import find_asset

    if text is not None:
        return await find_asset(native, text, "--asset")
    bitcoin = await native.asset(network.asset, "latest")
    if bitcoin is None:
        raise NotFound("bitcoin is not registered on this bridge", "--asset names another one")
    return bitcoin


def _units(asset: Asset, network: NetworkFile, units: int) -> int | str:
    """As JSON has it: a number of satoshi; of other assets text, because programs hold numbers as floats."""
    return units if asset.id == network.asset else str(units)


@app.command("balance")
def balance(
    account: Annotated[str | None, typer.Argument(metavar="[0xACCOUNT]", help="By default --account-key's.")] = None,
    asset: AssetOption = None,
    network: NetworkOption = None,
    account_key: AccountKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell how many tokens an account has.

    \b
    Example:
      causeway token balance 0x70997970C51812dc3A010C7d01b50e0d17dc79C8
      causeway token balance --asset ETH --account-key account.key
    """
    from adapters.evm.hexes import address_text, parse_address
    from adapters.native.eip712 import account_of_secret
    from cli.withdrawing import token_of

    owner = parse_address(account, "0xACCOUNT") if account else account_of_secret(account_secret(account_key))
    found = network_file(network)

    async def work() -> tuple[Asset, bytes, int]:
        async with open_native(found) as native:
            what = await _asset(native, found, asset)
            token = await token_of(native, what.id)
            return what, token, await native.token_balance(token, owner)

    what, token, units = run(work())
    shown = _units(what, found, units)
    document = {"account": address_text(owner), "token": address_text(token), "asset": what.caip19, "units": shown}
    pairs = [("account", address_text(owner)), ("token", address_text(token)), ("balance", what.format(units))]
    Output(as_json).result(document, lambda: facts(pairs))


@app.command("transfer")
def transfer(
    to: Annotated[str, typer.Argument(metavar="0xACCOUNT", help="Gets the tokens.")],
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="In whole coins of the asset.")],
    asset: AssetOption = None,
    network: NetworkOption = None,
    account_key: AccountKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send tokens to another account of the native chain.

    \b
    Example:
      causeway token transfer 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 0.2 --account-key account.key
      causeway token transfer 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 3 --asset ETH --account-key account.key
    """
    from adapters.evm.hexes import address_text, parse_address
    from cli.withdrawing import token_of

    recipient = parse_address(to, "0xACCOUNT")
    secret, found = account_secret(account_key), network_file(network)

    async def work() -> tuple[Asset, TokenUnits, bytes]:
        async with open_native(found) as native:
            what = await _asset(native, found, asset)
            units = what.parse(amount, "AMOUNT")
            if units == 0:
                raise BadInput("AMOUNT", "is zero", "more than zero")
            token = await token_of(native, what.id)
            async with open_sender(found, native, secret) as sender:
                call = native.calls.transfer(token, recipient, units)
                return what, units, (await sender.send(call, f"transfer {secrets.token_hex(8)}")).transaction

    what, units, transaction = run(work())
    sent = "0x" + transaction.hex()
    document = {
        "to": address_text(recipient),
        "asset": what.caip19,
        "units": _units(what, found, units),
        "transaction": sent,
    }
    Output(as_json).result(document, f"sent {what.format(units)} in {sent}")
