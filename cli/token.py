"""`causeway token`: how many tokens an account has, and sending them."""

from __future__ import annotations

import secrets
from typing import Annotated, Final

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
from cli.output import Output, btc, facts
from foundation.errors import BadInput
from foundation.quantities import TokenUnits
from registry.amounts import parse_amount

app = command_group("The mapping token: an account's balance, and sending it.")

_DECIMALS: Final = 8


@app.command("balance")
def balance(
    account: Annotated[str | None, typer.Argument(metavar="[0xACCOUNT]", help="By default --account-key's.")] = None,
    network: NetworkOption = None,
    account_key: AccountKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell how many tokens an account has.

    \b
    Example:
      causeway token balance 0x70997970C51812dc3A010C7d01b50e0d17dc79C8
    """
    from adapters.evm.hexes import address_text, parse_address
    from adapters.native.eip712 import account_of_secret
    from cli.withdrawing import token_of

    owner = parse_address(account, "0xACCOUNT") if account else account_of_secret(account_secret(account_key))
    found = network_file(network)

    async def work() -> tuple[bytes, int]:
        async with open_native(found) as native:
            token = await token_of(native, found.asset)
            return token, await native.token_balance(token, owner)

    token, units = run(work())
    document = {"account": address_text(owner), "token": address_text(token), "units": units}
    pairs = [("account", document["account"]), ("token", document["token"]), ("balance", btc(units))]
    Output(as_json).result(document, lambda: facts(pairs))


@app.command("transfer")
def transfer(
    to: Annotated[str, typer.Argument(metavar="0xACCOUNT", help="Gets the tokens.")],
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="In bitcoin.")],
    network: NetworkOption = None,
    account_key: AccountKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send tokens to another account of the native chain.

    \b
    Example:
      causeway token transfer 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 0.2 --account-key account.key
    """
    from adapters.evm.hexes import address_text, parse_address
    from cli.withdrawing import token_of

    recipient = parse_address(to, "0xACCOUNT")
    units = TokenUnits(parse_amount(amount, _DECIMALS, "AMOUNT"))
    if units == 0:
        raise BadInput("AMOUNT", "is zero", "more than zero")
    secret, found = account_secret(account_key), network_file(network)

    async def work() -> bytes:
        async with open_native(found) as native, open_sender(found, native, secret) as sender:
            token = await token_of(native, found.asset)
            call = native.calls.transfer(token, recipient, units)
            return (await sender.send(call, f"transfer {secrets.token_hex(8)}")).transaction

    transaction = run(work())
    document = {"to": address_text(recipient), "units": units, "transaction": "0x" + transaction.hex()}
    Output(as_json).result(document, f"sent {btc(units)} in 0x{transaction.hex()}")
