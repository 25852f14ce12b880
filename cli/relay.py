"""`causeway relay`: anyone carries signed payments to a vault on an EVM chain; payees claim what failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from cli.context import (
    AccountKeyOption,
    JsonOption,
    NetworkOption,
    account_secret,
    command_group,
    network_file,
    open_native,
    run,
)
from cli.exits import NotFound
from cli.lock_chain import RpcOption
from cli.output import Output, coin, facts, table
from foundation.errors import BadInput
from foundation.quantities import Wei

if TYPE_CHECKING:
    from adapters.evm.sender import TxSender
    from adapters.native.chain import NativeChain
    from cli.context import NetworkFile
    from cli.lock_chain import Origin
    from cli.relaying import Paid, Quote, Release
    from registry.chains import Chain

_DEFAULT = "carry"
_COIN_DECIMALS = 18


class RelayCommands(TyperGroup):
    """`causeway relay --all …` means `causeway relay carry --all …`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Name the command where none is named."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)


app = command_group("""Carry signed payments to a vault on an EVM chain: causeway relay ID, or --all.

\b
Example:
  causeway relay --all --chain eip155:1 --rpc http://127.0.0.1:8546 --account-key account.key
""")
app.info.cls = RelayCommands

ChainOption = Annotated[str, typer.Option("--chain", metavar="CAIP2", help="The vault's chain, such as eip155:1.")]


@app.command(_DEFAULT)
def carry(
    chain: ChainOption,
    what: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", help="A withdrawal's or payout's id, or its beginning.", show_default=False),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Everything that is signed for the chain.")] = False,
    min_profit: Annotated[
        str | None,
        typer.Option(
            "--min-profit", metavar="AMOUNT", help="In the chain's coin: leave what earns less. By default carry all."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would cost and earn; send nothing.")] = False,
    rpc: RpcOption = None,
    network: NetworkOption = None,
    account_key: AccountKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Carry signed payments to the vault that makes them; the carrier gets their fees. `causeway relay` does this.

    Anyone may. Who is to be paid and what the group signed is read from the native chain, rebuilt and verified here,
    and tried before it is sent. --account-key is an account on the vault's chain, which pays the gas.

    \b
    Example:
      causeway relay 5f1a9c --chain eip155:1 --rpc http://127.0.0.1:8546 --account-key account.key
    """
    from registry.amounts import parse_amount

    if (what is None) == (not every):
        raise BadInput("ID", "name one payout or withdrawal, or all", "an id, or --all")
    least = None if min_profit is None else parse_amount(min_profit, _COIN_DECIMALS, "--min-profit")
    secret = None if dry_run and account_key is None else account_secret(account_key)
    output, found = Output(as_json), network_file(network)
    reports = run(_carry(found, secret, chain, what, rpc, least, dry_run, output))
    output.result(reports, lambda: _text(reports))


async def _carry(
    network: NetworkFile,
    secret: bytes | None,
    caip2: str,
    what: str | None,
    rpc: str | None,
    least: int | None,
    dry_run: bool,
    output: Output,
) -> list[dict[str, Any]]:
    from cli import relaying
    from cli.lock_chain import open_origin, open_origin_sender

    async with open_native(network) as native:
        chain = await named_chain(native, caip2)
        live = await relaying.payouts_of(native, chain.id, await native.assets("latest"))
        wanted = list(live.values()) if what is None else [relaying.chosen(live, what)]
        async with open_origin(network, native, chain, rpc) as origin:
            if secret is None or dry_run:
                account = _account(secret)
                return [await _one(native, origin, payout, None, account, least, output) for payout in wanted]
            async with open_origin_sender(network, origin, secret) as sender:
                return [await _one(native, origin, payout, sender, sender.account, least, output) for payout in wanted]


def _account(secret: bytes | None) -> bytes:
    from adapters.native.eip712 import account_of_secret
    from cli.relaying import STRANGER

    return STRANGER if secret is None else account_of_secret(secret)


async def _one(
    native: NativeChain,
    origin: Origin,
    payout: Any,
    sender: TxSender | None,
    account: bytes,
    least: int | None,
    output: Output,
) -> dict[str, Any]:
    """Carry one payout, or say why it is left. One that cannot be carried does not keep others back."""
    from adapters.evm.lockbox.errors import LockboxRefused
    from cli import relaying

    report: dict[str, Any] = {"payout": payout.id.hex(), "withdrawals": [id_.hex() for id_ in payout.withdrawals]}
    try:
        release = await relaying.release_of(native, origin, payout)
        if not release.open:
            return {**report, "result": "nothing to carry", "why": "all of it is consumed: it waits for its settlement"}
        quote = await relaying.quote(origin, release, account)
    except (relaying.NotSigned, LockboxRefused) as error:
        return {**report, "result": "left", "why": f"{error}; {error.cure}"}
    report |= _quoted(release, quote)
    output.note(_quote_text(release, quote))
    if least is not None and (quote.profit is None or quote.profit < least):
        why = f"it earns less than {coin(Wei(least))}"
        return {**report, "result": "left", "why": why if quote.profit is not None else "its fee is in a token"}
    if sender is None:
        return {**report, "result": "dry run", "why": "nothing was sent"}
    transaction, cost, paid, owed = await relaying.carry(origin, release, sender)
    output.progress(f"payout {payout.id.hex()[:12]} carried in 0x{transaction.hex()}")
    report |= {"result": "carried", "transaction": "0x" + transaction.hex(), "cost_wei": str(cost)}
    report |= {"fee_to_claim": str(owed), "payments": [_paid(one, release) for one in paid]}
    return report


async def named_chain(native: NativeChain, caip2: str) -> Chain:
    """A registered EVM chain by its CAIP-2 text. Raises `BadInput`, `NotFound`."""
    from registry.caip import ChainId, chain_number

    chain_number(ChainId.parse(caip2, "--chain"), "--chain")
    chain = await native.chain_by_text(caip2, "latest")
    if chain is None:
        raise NotFound(f"the bridge does not know the chain {caip2}", "causeway chain list shows them")
    return chain


def _quoted(release: Release, quote: Quote) -> dict[str, Any]:
    return {
        "asset": release.asset.caip19,
        "gas": quote.gas,
        "gas_price_wei": str(quote.price),
        "gas_cost_wei": str(quote.cost),
        "fee": str(quote.fee),
        "profit_wei": None if quote.profit is None else str(quote.profit),
    }


def _quote_text(release: Release, quote: Quote) -> str:
    count = f"{len(release.open)} of {len(release.payments)} payments open"
    profit = "" if quote.profit is None else f", profit {coin(Wei(quote.profit), places=9)}"
    gas = f"{quote.gas:,} gas for about {coin(quote.cost, places=9)}"
    return f"payout {release.payout.hex()[:12]}: {count}, {gas}, fee {release.asset.format(quote.fee)}{profit}"


def _paid(one: Paid, release: Release) -> dict[str, Any]:
    from adapters.evm.hexes import address_text

    return {
        "number": str(one.payment.number),
        "withdrawal": one.withdrawal.hex(),
        "payee": address_text(one.payment.payee),
        "amount": str(one.payment.amount),
        "shown": release.asset.format(one.payment.amount),
        "fee": str(one.payment.fee),
        "outcome": one.outcome,
        "detail": one.detail,
    }


def _text(reports: Sequence[dict[str, Any]]) -> str:
    return "\n\n".join(_report_text(report) for report in reports) or "nothing is signed for this chain that waits"


def _report_text(report: dict[str, Any]) -> str:
    pairs = [("payout", report["payout"]), ("result", report["result"])]
    if "why" in report:
        pairs.append(("why", report["why"]))
    if "transaction" in report:
        pairs.append(("transaction", report["transaction"]))
    if report.get("fee_to_claim", "0") != "0":
        pairs.append(("fee", "the account did not take it: causeway relay claim-fee"))
    parts = [facts(pairs)]
    if "payments" in report:
        rows = [(p["number"], p["shown"], p["payee"], p["outcome"]) for p in report["payments"]]
        parts.append(table(("number", "amount", "payee", "outcome"), rows, right=("amount",)))
        parts += [f"{p['number']}: {p['detail']}" for p in report["payments"] if p["detail"]]
    return "\n".join(parts)


@app.command("claim")
def claim(
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="The payment's number at the vault.")],
    chain: ChainOption,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="0xADDRESS", help="Where it goes; by default to --account-key's account."),
    ] = None,
    rpc: RpcOption = None,
    network: NetworkOption = None,
    account_key: AccountKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a payment that failed, as its payee, to any address; or bring it to its payee, whoever you are.

    \b
    Example:
      causeway relay claim 12 --chain eip155:1 --to 0x7099… --rpc http://127.0.0.1:8546 --account-key payee.key
    """
    from adapters.evm.hexes import parse_address

    if not number.isascii() or not number.isdigit() or int(number[:80]) >= 1 << 256:
        raise BadInput("NUMBER", f"{number!r} is no payment's number", "digits, as causeway relay told it")
    target = None if to is None else parse_address(to, "--to")
    secret, found = account_secret(account_key), network_file(network)
    document, text = run(_claim(found, secret, chain, int(number), target, rpc))
    Output(as_json).result(document, text)


async def _claim(
    network: NetworkFile, secret: bytes, caip2: str, number: int, to: bytes | None, rpc: str | None
) -> tuple[dict[str, Any], str]:
    from adapters.evm.hexes import address_text
    from cli import relaying
    from cli.lock_chain import open_origin, open_origin_sender

    async with open_native(network) as native:
        chain = await named_chain(native, caip2)
        async with (
            open_origin(network, native, chain, rpc) as origin,
            open_origin_sender(network, origin, secret) as sender,
        ):
            waiting, target = await relaying.find_claim(origin, number), to or sender.account
            transaction = await relaying.claim(origin, sender, waiting, target)
            shown = waiting.shown(await native.assets("latest"), chain.id)
    document = {"number": str(number), "amount": str(waiting.failed.amount), "to": address_text(target)}
    document["transaction"] = "0x" + transaction.hex()
    return document, f"{shown} paid to {address_text(target)} in 0x{transaction.hex()}"


@app.command("claim-fee")
def claim_fee(
    asset: Annotated[str, typer.Argument(metavar="ASSET", help="What the fees are in: symbol, CAIP-19 name or id.")],
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="0xADDRESS", help="Where they go; by default to --account-key's account."),
    ] = None,
    rpc: RpcOption = None,
    network: NetworkOption = None,
    account_key: AccountKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take fees that a carrier's account refused when it earned them, to any address.

    \b
    Example:
      causeway relay claim-fee ETH --to 0x7099… --rpc http://127.0.0.1:8546 --account-key carrier.key
    """
    from adapters.evm.hexes import parse_address

    target = None if to is None else parse_address(to, "--to")
    secret, found = account_secret(account_key), network_file(network)
    document, text = run(_claim_fee(found, secret, asset, target, rpc))
    Output(as_json).result(document, text)


async def _claim_fee(
    network: NetworkFile, secret: bytes, name: str, to: bytes | None, rpc: str | None
) -> tuple[dict[str, Any], str]:
    from adapters.evm.hexes import address_text
    from cli.lock_assets import find_lockable
    from cli.lock_chain import open_origin, open_origin_sender
    from cli.locking import lockable

    async with open_native(network) as native:
        found, chain = await find_lockable(native, name)
        async with (
            open_origin(network, native, chain, rpc) as origin,
            open_origin_sender(network, origin, secret) as sender,
        ):
            what, target = await lockable(found, origin), to or sender.account
            owed = await origin.reader.fees_owed(sender.account, what.token, await origin.latest())
            sent = await sender.send(origin.calls.claim_fee(what.token, target), "claim fee")
    document = {"amount": str(owed), "to": address_text(target), "transaction": "0x" + sent.transaction.hex()}
    return document, f"{what.shown(owed)} paid to {address_text(target)} in 0x{sent.transaction.hex()}"
