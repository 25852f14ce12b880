"""`causeway withdraw`: turn tokens into bitcoin, take a request back, or let it bear a higher fee."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperGroup

from cli.context import (
    AccountKeyOption,
    JsonOption,
    NetworkOption,
    account_secret,
    command_group,
    network_file,
    open_bitcoin,
    open_native,
    open_sender,
    run,
)
from cli.output import Output, btc, facts
from foundation.errors import BadInput
from foundation.quantities import TokenUnits
from registry.amounts import parse_amount

if TYPE_CHECKING:
    from adapters.native.chain import NativeChain
    from adapters.native.types import WithdrawalRecord
    from cli.context import NetworkFile
    from cli.withdrawing import Requested

_DECIMALS: Final = 8
_DEFAULT: Final = "request"


class WithdrawCommands(TyperGroup):
    """`causeway withdraw 0.1 --to …` means `causeway withdraw request 0.1 --to …`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Name the command where none is named."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)


app = command_group("""Turn tokens into bitcoin: causeway withdraw AMOUNT --to ADDRESS.

\b
Example:
  causeway withdraw 0.1 --to bc1q… --account-key account.key --wait
""")
app.info.cls = WithdrawCommands

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The withdrawal's id, or its beginning.")]


@app.command(_DEFAULT)
def request(
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="In bitcoin; all of it is burnt in the end.")],
    to: Annotated[str, typer.Option("--to", metavar="ADDRESS", help="The bitcoin address that is paid.")],
    max_fee: Annotated[
        int | None,
        typer.Option("--max-fee", metavar="SAT", min=1, help="The most that is taken from it for the miner."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it until it is paid and settled.")] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=1, help="How long to follow it.")
    ] = 86_400,
    network: NetworkOption = None,
    account_key: AccountKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Lock tokens, and have bitcoin paid to an address. This is what `causeway withdraw AMOUNT` does.

    The miner's fee is shared by all who are paid together, and taken from the amount, never more than --max-fee. By
    default that is three times the fee that is expected now.

    \b
    Example:
      causeway withdraw 0.1 --to bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq \\
        --account-key account.key --wait
    """
    from adapters.bitcoin.addresses import parse_address

    output = Output(as_json)
    units = TokenUnits(parse_amount(amount, _DECIMALS, "AMOUNT"))
    secret, found = account_secret(account_key), network_file(network)
    destination = parse_address(to, found.network, "--to")
    document = run(_request(found, secret, units, max_fee, destination, output, timeout if wait else None))
    output.result(document, lambda: _request_text(document, wait))


async def _request(
    network: NetworkFile,
    secret: bytes,
    units: TokenUnits,
    max_fee: int | None,
    destination: bytes,
    output: Output,
    timeout_s: float | None,
) -> dict[str, Any]:
    from cli import withdrawing

    async with open_native(network) as native, open_bitcoin(network) as bitcoin:
        if max_fee is None:
            policy = await native.asset_policy(network.asset, "latest")
            limit = await withdrawing.fee_limit(bitcoin, TokenUnits(units - policy.service_fee(units)))
            output.note(limit.text())
            max_fee = limit.limit
        async with open_sender(network, native, secret) as sender:
            done = await withdrawing.request(native, sender, network.asset, units, TokenUnits(max_fee), destination)
        document = _requested(done, units, max_fee)
        if timeout_s is None:
            return document
        output.progress(f"requested in 0x{done.transaction.hex()}: causeway transfers show {done.id.hex()[:12]}")
        document["steps"] = []
        async for step in withdrawing.Watch(native, bitcoin, done).steps(timeout_s):
            output.progress(step.text + (f", {step.transaction}" if step.transaction else ""))
            document["steps"].append({"stage": step.stage, "text": step.text, "transaction": step.transaction})
            document["stage"] = step.stage
    return document


def _requested(done: Requested, units: int, max_fee: int) -> dict[str, Any]:
    return {
        "id": done.id.hex(),
        "stage": "requested",
        "amount_sat": units,
        "max_fee_sat": max_fee,
        "service_fee_sat": done.service_fee,
        "transaction": "0x" + done.transaction.hex(),
        "approval": None if done.approval is None else "0x" + done.approval.hex(),
    }


def _request_text(document: dict[str, Any], waited: bool) -> str:
    shown = facts(
        [
            ("withdrawal", document["id"]),
            ("stage", document["stage"]),
            ("amount", btc(document["amount_sat"])),
            *([("service fee", f"{document['service_fee_sat']:,} sat")] if document["service_fee_sat"] else []),
            ("fee at most", f"{document['max_fee_sat']:,} sat"),
            ("transaction", document["transaction"]),
        ]
    )
    return shown if waited else f"{shown}\n\nFollow it: causeway transfers show {document['id'][:12]}"


@app.command("cancel")
def cancel(
    withdrawal: IdArgument,
    network: NetworkOption = None,
    account_key: AccountKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a request back, while no coins are reserved for it. The tokens return to the account.

    \b
    Example:
      causeway withdraw cancel 5f1a9c --account-key account.key
    """
    secret, found = account_secret(account_key), network_file(network)
    record, transaction = run(_change(found, secret, withdrawal, None))
    document = {"id": record.id.hex(), "stage": "cancelled", "transaction": "0x" + transaction.hex()}
    Output(as_json).result(document, f"cancelled: {btc(record.amount + record.fee)} are back in the account")


@app.command("raise-fee")
def raise_fee(
    withdrawal: IdArgument,
    max_fee: Annotated[int, typer.Option("--max-fee", metavar="SAT", min=1, help="The new limit, above the old.")],
    network: NetworkOption = None,
    account_key: AccountKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a withdrawal bear more of the miner's fee. Then it is paid while fees are high.

    \b
    Example:
      causeway withdraw raise-fee 5f1a9c --max-fee 5000 --account-key account.key
    """
    secret, found = account_secret(account_key), network_file(network)
    record, transaction = run(_change(found, secret, withdrawal, TokenUnits(max_fee)))
    document = {"id": record.id.hex(), "max_fee_sat": max_fee, "transaction": "0x" + transaction.hex()}
    Output(as_json).result(document, f"it may cost up to {max_fee:,} sat now, {record.max_fee:,} sat before")


async def _change(
    network: NetworkFile, secret: bytes, text: str, max_fee: TokenUnits | None
) -> tuple[WithdrawalRecord, bytes]:
    """Cancel a withdrawal (`max_fee` None), or raise its limit."""
    from cli.withdrawing import find_withdrawal

    async with open_native(network) as native:
        record = await find_withdrawal(native, text)
        async with open_sender(network, native, secret) as sender:
            _check(record, sender.account, max_fee)
            call = _call(native, record.id, max_fee)
            return record, (await sender.send(call, f"{call.label} {record.id.hex()} {max_fee}")).transaction


def _call(native: NativeChain, withdrawal: bytes, max_fee: TokenUnits | None) -> Any:
    calls = native.calls
    return calls.cancel(withdrawal) if max_fee is None else calls.raise_max_fee(withdrawal, max_fee)


def _check(record: WithdrawalRecord, account: bytes, max_fee: TokenUnits | None) -> None:
    """Say plainly what the Hub would refuse. Raises `BadInput`, `TooLate`."""
    from adapters.native.types import WithdrawalStatus
    from cli.withdrawing import TooLate

    if record.owner != account:
        raise BadInput("--account-key", "is not the key of the withdrawal's owner", f"that of 0x{record.owner.hex()}")
    if max_fee is None and record.status is not WithdrawalStatus.REQUESTED:
        raise TooLate(record.id, record.status.name.lower())
    if record.status not in (WithdrawalStatus.REQUESTED, WithdrawalStatus.RESERVED):
        raise TooLate(record.id, record.status.name.lower())
    if max_fee is not None and max_fee <= record.max_fee:
        raise BadInput("--max-fee", f"{max_fee:,} sat is not above the {record.max_fee:,} sat of now", "a higher one")
