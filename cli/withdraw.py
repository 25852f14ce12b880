"""`causeway withdraw`: turn tokens back into what they stand for, follow it, take it back, or offer a higher fee."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

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
from cli.exits import ExitCode
from cli.lock_chain import RpcOption
from cli.output import Output, facts
from foundation.errors import BadInput
from foundation.quantities import TokenUnits

if TYPE_CHECKING:
    from adapters.native.chain import NativeChain
    from adapters.native.types import WithdrawalRecord
    from cli.context import NetworkFile
    from cli.lock_chain import Origin
    from cli.withdraw_terms import WithdrawTerms
    from cli.withdrawing import Requested
    from registry.chains import Chain

_DEFAULT: Final = "request"
ACCOUNT_BYTES: Final = 20
"""How the Hub tells an account on an EVM chain from a scriptPubKey."""


class WithdrawCommands(TyperGroup):
    """`causeway withdraw 0.1 --to …` means `causeway withdraw request 0.1 --to …`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Name the command where none is named."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)


app = command_group("""Turn tokens back into what they stand for: causeway withdraw AMOUNT --to ADDRESS.

\b
Example:
  causeway withdraw 0.1 --to bc1q… --account-key account.key --wait
  causeway withdraw 2.5 --to eip155:1:0x7099… --account-key account.key
""")
app.info.cls = WithdrawCommands

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The withdrawal's id, or its beginning.")]
RelayFee = typer.Option(
    "--relay-fee", metavar="AMOUNT", help="To an EVM chain: what its carrier gets, in the asset.", show_default=False
)


@app.command(_DEFAULT)
def request(
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="Of the asset; all of it is burnt in the end.")],
    to: Annotated[
        str,
        typer.Option("--to", metavar="ADDRESS", help="Is paid: an address of the asset's chain, or chain:address."),
    ],
    asset: Annotated[
        str | None,
        typer.Option("--asset", metavar="ASSET", help="By default bitcoin, or the coin of the chain that --to names."),
    ] = None,
    max_fee: Annotated[
        int | None,
        typer.Option("--max-fee", metavar="SAT", min=1, help="Of bitcoin: the most that is taken for the miner."),
    ] = None,
    relay_fee: Annotated[str | None, RelayFee] = None,
    rpc: RpcOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether to go on.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it until it is paid and settled.")] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=1, help="How long to follow it.")
    ] = 86_400,
    network: NetworkOption = None,
    account_key: AccountKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Lock tokens, and have what they stand for paid out on its own chain. `causeway withdraw AMOUNT` does this.

    Of bitcoin the miner's fee is taken from the amount, never more than --max-fee; by default three times what is
    expected now. On an EVM chain the vault's payment is carried by anyone, who gets --relay-fee; by default twice the
    price of the gas for the chain's own coin where its node is known, else a thousandth. The service fee is shown
    before anything is sent.

    \b
    Example:
      causeway withdraw 0.1 --to bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq \\
        --account-key account.key --wait
      causeway withdraw 2.5 --to eip155:1:0x70997970C51812dc3A010C7d01b50e0d17dc79C8 \\
        --rpc http://127.0.0.1:8546 --account-key account.key
    """
    if max_fee is not None and relay_fee is not None:
        raise BadInput("--relay-fee", "miners and carriers are not paid for the same withdrawal", "one of the two fees")
    output = Output(as_json)
    secret, found = account_secret(account_key), network_file(network)
    wanted = _Wanted(amount, to, asset, max_fee, relay_fee, rpc, yes or as_json or not sys.stdin.isatty())
    document = run(_request(found, secret, wanted, output, timeout if wait else None))
    output.result(document, lambda: _request_text(document, wait))


class _Wanted(NamedTuple):
    """The command line."""

    amount: str
    to: str
    asset: str | None
    max_fee: int | None
    relay_fee: str | None
    rpc: str | None
    sure: bool


async def _request(
    network: NetworkFile, secret: bytes, wanted: _Wanted, output: Output, timeout_s: float | None
) -> dict[str, Any]:
    from cli import withdrawing
    from cli.withdraw_terms import read_terms

    async with open_native(network) as native:
        terms = await read_terms(native, network, wanted.amount, wanted.to, wanted.asset)
        async with _origin(network, native, terms.chain, wanted.rpc) as origin:
            fee = await _fee(network, terms, wanted, origin, output)
            _agree(terms, fee, wanted.sure, output)
            async with open_sender(network, native, secret) as sender:
                asset, destination = terms.asset.id, terms.destination
                done = await withdrawing.request(native, sender, asset, terms.amount, fee, destination)
            document = _requested(done, terms, fee)
            if timeout_s is not None:
                output.progress(
                    f"requested in 0x{done.transaction.hex()}: causeway withdraw status {done.id.hex()[:12]}"
                )
                await _follow(network, native, origin, terms, done, document, output, timeout_s)
    return document


async def _fee(
    network: NetworkFile, terms: WithdrawTerms, wanted: _Wanted, origin: Origin | None, output: Output
) -> TokenUnits:
    """The miner's at most, or the carrier's: what the person says, or what is usual now."""
    from cli import withdraw_terms, withdrawing

    if terms.is_release:
        if wanted.max_fee is not None:
            cure = "--relay-fee, which its carrier gets"
            raise BadInput("--max-fee", f"no miner is paid on {terms.chain.caip2}", cure)
        if wanted.relay_fee is not None:
            return withdraw_terms.parse_relay_fee(terms, wanted.relay_fee)
        price = None if origin is None else await origin.gas_price()
        fee, why = withdraw_terms.suggested_relay_fee(terms, price)
        output.note(why)
        return fee
    if wanted.relay_fee is not None:
        raise BadInput("--relay-fee", "nobody carries a bitcoin payment: miners are paid", "--max-fee")
    if wanted.max_fee is not None:
        return TokenUnits(wanted.max_fee)
    async with open_bitcoin(network) as bitcoin:
        limit = await withdrawing.fee_limit(bitcoin, terms.payable)
    output.note(limit.text())
    return TokenUnits(limit.limit)


def _agree(terms: WithdrawTerms, fee: TokenUnits, sure: bool, output: Output) -> None:
    """Show all that it costs, and ask a person who can answer."""
    output.note(terms.text(fee))
    if not sure and not typer.confirm("Go on?", err=True):
        output.note("nothing was sent")
        raise typer.Exit(ExitCode.DONE)


@asynccontextmanager
async def _origin(
    network: NetworkFile, native: NativeChain, chain: Chain, rpc: str | None
) -> AsyncIterator[Origin | None]:
    """The chain that pays, where it is an EVM chain and a node of it is known."""
    from cli.lock_chain import open_origin
    from registry.chains import ChainKind

    known = rpc is not None or any(section.chain == chain.caip2 for section in network.settings.evm)
    if chain.kind is not ChainKind.EVM or not known:
        if rpc is not None:
            raise BadInput("--rpc", f"is for EVM chains, and {chain.caip2} is none", "leave it out")
        yield None
        return
    async with open_origin(network, native, chain, rpc) as origin:
        yield origin


async def _follow(
    network: NetworkFile,
    native: NativeChain,
    origin: Origin | None,
    terms: WithdrawTerms,
    done: Requested,
    document: dict[str, Any],
    output: Output,
    timeout_s: float,
) -> None:
    """Tell each step as it happens."""
    from cli.withdraw_evm import ReleaseWatch
    from cli.withdrawing import Watch

    document["steps"] = []
    if terms.is_release:
        await _tell(ReleaseWatch(native, network, origin, done).steps(timeout_s), document, output)
        return
    async with open_bitcoin(network) as bitcoin:
        await _tell(Watch(native, bitcoin, done).steps(timeout_s), document, output)


async def _tell(steps: AsyncIterator[Any], document: dict[str, Any], output: Output) -> None:
    async for step in steps:
        output.progress(step.text + (f", {step.transaction}" if step.transaction else ""))
        document["steps"].append({"stage": step.stage, "text": step.text, "transaction": step.transaction})
        document["stage"] = step.stage


def _requested(done: Requested, terms: WithdrawTerms, fee: int) -> dict[str, Any]:
    document = {
        "id": done.id.hex(),
        "stage": "requested",
        "asset": terms.asset.caip19,
        "chain": terms.chain.caip2,
        "destination": terms.shown,
        "amount": str(terms.amount),
        "service_fee": str(terms.service_fee),
        "shown": terms.asset.format(terms.amount),
        "transaction": "0x" + done.transaction.hex(),
        "approval": None if done.approval is None else "0x" + done.approval.hex(),
    }
    if terms.is_release:
        return document | {"relay_fee": str(fee), "shown_fee": terms.asset.format(fee)}
    return document | {"amount_sat": terms.amount, "max_fee_sat": fee, "shown_fee": f"{fee:,} sat at most"}


def _request_text(document: dict[str, Any], waited: bool) -> str:
    shown = facts(
        [
            ("withdrawal", document["id"]),
            ("stage", document["stage"]),
            ("amount", document["shown"]),
            ("pays to", f"{document['destination']} on {document['chain']}"),
            ("fee", document["shown_fee"]),
            ("transaction", document["transaction"]),
        ]
    )
    return shown if waited else f"{shown}\n\nFollow it: causeway withdraw status {document['id'][:12]}"


@app.command("status")
def status(
    withdrawal: IdArgument,
    rpc: RpcOption = None,
    network: NetworkOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell where a withdrawal is, and who moves next. From the chains alone: no node of ours is asked.

    \b
    Example:
      causeway withdraw status 5f1a9c --rpc http://127.0.0.1:8546
    """
    from cli.withdraw_state import read_state
    from cli.withdrawing import find_withdrawal

    found = network_file(network)

    async def work() -> Any:
        async with open_native(found) as native:
            record = await find_withdrawal(native, withdrawal)
            asset = await native.asset(record.asset, "latest")
            chain = None if asset is None else await native.chain_info(asset.chain, "latest")
            assert chain is not None, "the Hub takes assets of registered chains alone"
            async with _origin(found, native, chain, rpc) as origin:
                return await read_state(native, found, record, origin)

    state = run(work())
    Output(as_json).result(state.as_json(), state.text)


@app.command("cancel")
def cancel(
    withdrawal: IdArgument,
    network: NetworkOption = None,
    account_key: AccountKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a request back, while nothing is reserved for it. All its tokens return to the account.

    \b
    Example:
      causeway withdraw cancel 5f1a9c --account-key account.key
    """
    secret, found = account_secret(account_key), network_file(network)
    record, transaction, show = run(_change(found, secret, withdrawal, None, None))
    document = {"id": record.id.hex(), "stage": "cancelled", "transaction": "0x" + transaction.hex()}
    Output(as_json).result(document, f"cancelled: {show(record.amount + record.fee)} are back in the account")


@app.command("raise-fee")
def raise_fee(
    withdrawal: IdArgument,
    max_fee: Annotated[
        int | None,
        typer.Option("--max-fee", metavar="SAT", min=1, help="Of bitcoin: the new limit.", show_default=False),
    ] = None,
    relay_fee: Annotated[str | None, RelayFee] = None,
    network: NetworkOption = None,
    account_key: AccountKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a withdrawal bear a higher fee, above the old. Bitcoin is then paid while miners' fees are high.

    What a carrier to an EVM chain gets can be raised until the withdrawal is reserved: after that it is signed so.

    \b
    Example:
      causeway withdraw raise-fee 5f1a9c --max-fee 5000 --account-key account.key
    """
    if (max_fee is None) == (relay_fee is None):
        raise BadInput("--max-fee", "name one fee", "--max-fee for bitcoin, --relay-fee for an EVM chain")
    secret, found = account_secret(account_key), network_file(network)
    record, transaction, show = run(_change(found, secret, withdrawal, max_fee, relay_fee))
    document: dict[str, Any] = {"id": record.id.hex(), "transaction": "0x" + transaction.hex()}
    if max_fee is not None:
        document["max_fee_sat"] = max_fee
        text = f"it may cost up to {max_fee:,} sat now, {record.max_fee:,} sat before"
    else:
        document["relay_fee"] = relay_fee
        text = f"its carrier gets {relay_fee} now, {show(record.max_fee)} before"
    Output(as_json).result(document, text)


async def _change(
    network: NetworkFile, secret: bytes, text: str, max_fee: int | None, relay_fee: str | None
) -> tuple[WithdrawalRecord, bytes, Callable[[int], str]]:
    """Cancel a withdrawal (no fee given), or raise its fee."""
    from cli.withdrawing import find_withdrawal

    async with open_native(network) as native:
        record = await find_withdrawal(native, text)
        asset = await native.asset(record.asset, "latest")
        assert asset is not None, "the Hub takes registered assets alone"
        fee = None if max_fee is None else TokenUnits(max_fee)
        if relay_fee is not None:
            fee = asset.parse(relay_fee, "--relay-fee")
        is_release = len(record.destination) == ACCOUNT_BYTES
        if fee is not None and is_release == (relay_fee is None):
            wrong, right = ("--max-fee", "--relay-fee") if is_release else ("--relay-fee", "--max-fee")
            raise BadInput(wrong, f"is not the fee of a withdrawal of {asset.symbol}", right)
        async with open_sender(network, native, secret) as sender:
            _check(record, sender.account, fee)
            call = _call(native, record.id, fee)
            sent = await sender.send(call, f"{call.label} {record.id.hex()} {fee}")
            return record, sent.transaction, asset.format


def _call(native: NativeChain, withdrawal: bytes, max_fee: TokenUnits | None) -> Any:
    calls = native.calls
    return calls.cancel(withdrawal) if max_fee is None else calls.raise_max_fee(withdrawal, max_fee)


def _check(record: WithdrawalRecord, account: bytes, fee: TokenUnits | None) -> None:
    """Say plainly what the Hub would refuse. Raises `BadInput`, `TooLate`."""
    from adapters.native.types import WithdrawalStatus
    from cli.withdrawing import TooLate

    is_release = len(record.destination) == ACCOUNT_BYTES
    changeable = {WithdrawalStatus.REQUESTED}
    if fee is not None and not is_release:
        changeable.add(WithdrawalStatus.RESERVED)  # a bitcoin payout can be signed again; a release is signed once
    if record.owner != account:
        raise BadInput("--account-key", "is not the key of the withdrawal's owner", f"that of 0x{record.owner.hex()}")
    if record.status not in changeable:
        raise TooLate(record.id, record.status.name.lower())
    if fee is not None and fee <= record.max_fee:
        option = "--relay-fee" if is_release else "--max-fee"
        raise BadInput(option, f"{fee:,} is not above the {record.max_fee:,} of now", "a higher one")
    if fee is not None and is_release and fee >= record.amount:
        raise BadInput("--relay-fee", "leaves nothing to pay out", "a lower one")
