"""`causeway lock`: send a coin or a token of an EVM chain over the bridge, and see what became of it."""

from __future__ import annotations

from pathlib import Path
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
from cli.lock_chain import RpcOption
from cli.output import Output, facts

if TYPE_CHECKING:
    from cli.context import NetworkFile
    from cli.lock_follow import LockState
    from cli.lock_receipt import LockReceipt
    from cli.locking import LockPlan

_DEFAULT = "send"


class LockCommands(TyperGroup):
    """`causeway lock ETH 10 …` means `causeway lock send ETH 10 …`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Name the command where none is named."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)


app = command_group("""Send a coin or a token of an EVM chain over the bridge: causeway lock ASSET AMOUNT.

\b
Example:
  causeway lock ETH 10 --recipient 0x7099… --rpc http://127.0.0.1:8546 --account-key account.key --wait
""")
app.info.cls = LockCommands

ReceiptArgument = Annotated[Path, typer.Argument(metavar="RECEIPT", help="The receipt file.", show_default=False)]


@app.command(_DEFAULT)
def lock(
    asset: Annotated[
        str,
        typer.Argument(
            metavar="ASSET", help="Its symbol, CAIP-19 name or id; eip155:…/erc20:0x… need not be known yet."
        ),
    ],
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="How much of it, like 0.5.")],
    recipient: Annotated[
        str, typer.Option("--recipient", metavar="0xACCOUNT", help="Gets the tokens on the native chain.")
    ],
    rpc: RpcOption = None,
    permit: Annotated[
        bool | None,
        typer.Option(
            "--permit/--no-permit",
            help="Sign a permit instead of an approval; by default where the token takes one.",
            show_default=False,
        ),
    ] = None,
    receipt: Annotated[
        Path | None,
        typer.Option("--receipt", metavar="FILE", help="Where to keep the receipt; by default lock-….json here."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it until the tokens are minted.")] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=1, help="How long to follow it.")
    ] = 7_200,
    network: NetworkOption = None,
    account_key: AccountKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Lock a coin or a token in its chain's vault, for tokens on the native chain. This is what `causeway lock` does.

    --account-key is the account on the asset's own chain. The node behind --rpc and the vault are held against the
    Registry before anything is sent, and every transaction is tried without sending it first.

    \b
    Example:
      causeway lock ETH 10 --recipient 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 \\
        --rpc http://127.0.0.1:8546 --account-key account.key --wait
    """
    from adapters.evm.hexes import parse_address
    from cli.depositing import check_new

    output = Output(as_json)
    account = parse_address(recipient, "--recipient")
    if receipt is not None:
        check_new(receipt, "--receipt")
    secret, found = account_secret(account_key), network_file(network)
    wanted = (asset, amount, account, rpc, permit, receipt)
    document, text = run(_lock(found, secret, wanted, output, timeout if wait else None))
    output.result(document, text)


async def _lock(
    network: NetworkFile,
    secret: bytes,
    wanted: tuple[str, str, bytes, str | None, bool | None, Path | None],
    output: Output,
    timeout_s: float | None,
) -> tuple[dict[str, Any], str]:
    from cli import locking
    from cli.lock_assets import find_lockable
    from cli.lock_chain import open_origin, open_origin_sender
    from cli.lock_follow import follow_lock

    name, amount, recipient, rpc, permit, path = wanted
    async with open_native(network) as native:
        found, chain = await find_lockable(native, name)
        async with open_origin(network, native, chain, rpc) as origin:
            what = await locking.lockable(found, origin)
            planned = await locking.plan(native, origin, what, what.parse(amount), recipient)
            _announce(planned, output)
            async with open_origin_sender(network, origin, secret) as sender:
                receipt = await locking.send_lock(
                    native, origin, sender, secret, planned, permit=permit, progress=output.progress
                )
            kept = _keep(receipt, path, output)
            if timeout_s is None:
                return _locked(receipt, planned, kept), _locked_text(receipt, planned, kept)
            output.progress(f"locked in 0x{receipt.transaction.hex()}, number {receipt.number}")
            state: LockState | None = None
            async for state in follow_lock(native, receipt, origin, timeout_s):
                output.progress(f"{state.stage}: {state.next}")
    assert state is not None, "the end of a lock is a stage"
    return {**state.as_json(), "receipt": str(kept.absolute())}, state.text()


def _announce(planned: LockPlan, output: Output) -> None:
    what = planned.lockable
    output.note(
        f"{what.shown(planned.amount)} of {what.asset}: fees {what.shown(planned.fees)}, "
        f"{what.shown(planned.minted)} in tokens to 0x{planned.recipient.hex()}"
    )
    for note in planned.notes:
        output.note(note)


def _keep(receipt: LockReceipt, path: Path | None, output: Output) -> Path:
    """Write the receipt; a disk that is full must not hide that the lock happened."""
    target = path or Path(f"lock-{receipt.asset.chain.reference}-{receipt.number}.json")
    try:
        receipt.write(target)
    except OSError as error:
        output.note(f"the receipt could not be written to {target}: {error.strerror}; keep what is printed here")
    return target


def _locked(receipt: LockReceipt, planned: LockPlan, kept: Path) -> dict[str, Any]:
    return {
        **receipt.as_json(),
        "stage": "locked",
        "minimum_minted": str(max(planned.lockable.policy.minted(receipt.amount), 0)),
        "receipt": str(kept.absolute()),
    }


def _locked_text(receipt: LockReceipt, planned: LockPlan, kept: Path) -> str:
    from adapters.evm.hexes import address_text

    less = "" if receipt.amount == planned.amount else f" of the {receipt.shown(planned.amount)} that were sent"
    shown = facts(
        [
            ("lock", f"number {receipt.number} on {receipt.asset.chain}"),
            ("transaction", f"0x{receipt.transaction.hex()}"),
            ("deposit", receipt.deposit.hex()),
            ("locked", receipt.shown(receipt.amount) + less),
            ("recipient", address_text(receipt.recipient)),
            ("gets", f"{receipt.shown(max(planned.lockable.policy.minted(receipt.amount), 0))} in tokens"),
            ("receipt", str(kept)),
        ]
    )
    return f"{shown}\n\nFollow it: causeway lock status {kept}"


@app.command("status")
def status(
    receipt: ReceiptArgument,
    rpc: RpcOption = None,
    network: NetworkOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what became of a lock. From its receipt and the chains alone: no node of ours is asked.

    Without --rpc, and without an [[evm]] for its chain in the network file, only the native chain is asked.

    \b
    Example:
      causeway lock status lock-1-17.json
    """
    from cli.lock_receipt import LockReceipt

    read = LockReceipt.read(receipt)
    state = run(_status(network_file(network), read, rpc))
    Output(as_json).result(state.as_json(), state.text)


async def _status(network: NetworkFile, receipt: LockReceipt, rpc: str | None) -> LockState:
    from cli.lock_chain import open_origin
    from cli.lock_follow import read_lock

    caip2 = str(receipt.asset.chain)
    reachable = rpc is not None or any(section.chain == caip2 for section in network.settings.evm)
    async with open_native(network) as native:
        chain = await native.chain_by_text(caip2, "latest")
        if chain is None or not reachable:
            return await read_lock(native, receipt, None)
        async with open_origin(network, native, chain, rpc) as origin:
            return await read_lock(native, receipt, origin)
