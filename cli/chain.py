"""`causeway chain`: add an EVM chain to a bridge, and look at the chains that it knows."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.context import (
    AccountKeyOption,
    JsonOption,
    NetworkFile,
    NetworkOption,
    account_secret,
    command_group,
    home,
    network_file,
    open_native,
    run,
)
from cli.output import Output, facts
from cli.policy_options import (
    DepositFeeOption,
    DepositLimitOption,
    FeeFloorOption,
    FeeOption,
    MinimumDepositOption,
    MinimumWithdrawalOption,
    PolicyTexts,
    WithdrawalLimitOption,
)

if TYPE_CHECKING:
    from cli.chain_registering import ChainPlan, Registered

app = command_group("Add an EVM chain to a bridge, and look at its chains.")

_BLOCK_HINT = "every node's configuration needs this block, and a restart:"


@app.command("register")
def register(
    chain: Annotated[str, typer.Argument(metavar="CAIP2", help="Such as eip155:1.")],
    rpc: Annotated[
        list[str] | None,
        typer.Option("--rpc", metavar="URL", help="An endpoint of it; repeat it: all must agree.", show_default=False),
    ] = None,
    account_key: AccountKeyOption = None,
    network: NetworkOption = None,
    finality: Annotated[
        str | None,
        typer.Option("--finality", help="finalized: as the chain itself says (so by default); or depth:N blocks."),
    ] = None,
    coin: Annotated[str, typer.Option("--coin", help="The symbol of its own coin.")] = "ETH",
    coin_name: Annotated[str, typer.Option("--coin-name", help="The coin's name.")] = "Ether",
    coin_type: Annotated[int, typer.Option("--coin-type", min=0, help="Its SLIP-44 number.")] = 60,
    decimals: Annotated[int, typer.Option("--decimals", min=0, max=77, help="Of the coin.")] = 18,
    minimum_deposit: MinimumDepositOption = None,
    deposit_fee: DepositFeeOption = None,
    minimum_withdrawal: MinimumWithdrawalOption = None,
    fee: FeeOption = None,
    fee_floor: FeeFloorOption = None,
    deposit_limit: DepositLimitOption = None,
    withdrawal_limit: WithdrawalLimitOption = None,
    is_open: Annotated[
        bool | None,
        typer.Option("--open/--closed", help="Whether vouchers introduce its ERC-20s at their first deposit."),
    ] = None,
    token_minimum: Annotated[
        int | None,
        typer.Option("--token-minimum", min=0, help="Of those: least deposit and withdrawal, in base units; else 1."),
    ] = None,
    token_fee: Annotated[
        int | None, typer.Option("--token-fee", min=0, help="Of those: the fee, in basis points; else 0.")
    ] = None,
    token_limit: Annotated[
        int | None,
        typer.Option("--token-limit", min=0, help="Of those: a day each way, in base units; else 0, none."),
    ] = None,
    members: Annotated[
        str | None,
        typer.Option(
            "--members", metavar="FILE,FILE,…", help="The identity.json of each storeman; by default those of bitcoin."
        ),
    ] = None,
    threshold: Annotated[
        int | None, typer.Option("--threshold", help="How many sign; by default as for bitcoin.")
    ] = None,
    guardian: Annotated[
        str | None, typer.Option("--guardian", metavar="0xACCOUNT", help="May pause the vault; by default the owner.")
    ] = None,
    window: Annotated[str, typer.Option("--window", help="Of the vault's limits: 1s to 30d, such as 12h.")] = "1d",
    write: Annotated[
        list[Path] | None,
        typer.Option("--write", metavar="CONFIG", help="Append the block to this node's config.toml; repeat it."),
    ] = None,
    timeout: Annotated[float, typer.Option("--timeout", min=1, help="Seconds to wait for each thing.")] = 1800.0,
    as_json: JsonOption = False,
) -> None:
    """Add an EVM chain: register it with its coin, have the storemen make a key, deploy its vault, and register that.

    Only the contracts' owner may. Its account needs coin on that chain too, to deploy the vault. A run that was
    interrupted is gone on with by the same command; where all is done it changes nothing. At the end it prints the
    block that goes into the configuration of every node.

    \b
    Example:
      causeway chain register eip155:1 --rpc https://one.example --rpc https://two.example --open \\
        --network network.toml --account-key owner.key
    """
    from adapters.native.eip712 import account_of_secret
    from cli.chain_options import Asked, endpoints_of, evm_chain_of

    name = evm_chain_of(chain)
    found, secret, output = network_file(network), account_secret(account_key), Output(as_json)
    urls = endpoints_of(found, name, rpc)
    policy = PolicyTexts(
        minimum_deposit, deposit_fee, minimum_withdrawal, fee, fee_floor, deposit_limit, withdrawal_limit
    )
    asked = Asked(
        coin, coin_name, coin_type, decimals, policy, finality, is_open, token_minimum, token_fee, token_limit,
        members, threshold, guardian, window,
    )  # fmt: skip
    plan = asked.plan(name, account_of_secret(secret))
    document = run(_register(found, plan, urls, secret, timeout, output))
    document["written"] = _write(write or [], str(name), document["toml"])
    output.result(document, lambda: _registered_text(document))


async def _register(
    network: NetworkFile, plan: ChainPlan, urls: Sequence[str], secret: bytes, wait_seconds: float, output: Output
) -> dict[str, Any]:
    from cli.chain_origin import durable_sender, open_journal, open_origin
    from cli.chain_registering import Registration
    from cli.evm_config import evm_block
    from cli.group import Teller
    from infra.cache import locked_async

    async with AsyncExitStack() as stack:
        native = await stack.enter_async_context(open_native(network))
        at = native.deployment
        folder = home() / "registrations"
        folder.mkdir(parents=True, exist_ok=True)
        # Two runs at once would both deploy a vault.
        await stack.enter_async_context(locked_async(folder / "lock"))
        journal = await stack.enter_async_context(open_journal(folder / f"{at.network.hex()[:16]}.db"))
        cap = network.settings.native.max_fee
        owner = await stack.enter_async_context(durable_sender(native.rpc, journal, secret, at.chain_id, cap=cap))
        origin = await stack.enter_async_context(
            open_origin(plan.chain, urls, secret, journal, wait_seconds, output.progress)
        )
        registration = Registration(
            native, owner, origin, network.chain, plan, output.progress, wait_seconds, Teller(output).look
        )
        return _document(await registration.run(), evm_block(str(plan.chain), urls))


def _document(found: Registered, block: str) -> dict[str, Any]:
    from cli.chain_registering import finality_text

    group = found.group
    return {
        "id": found.chain.id.hex(),
        "caip2": found.chain.caip2,
        "genesis": found.chain.genesis.hex(),
        "finality": finality_text(found.chain.confirmations),
        "coin": {"id": found.coin.id.hex(), "caip19": found.coin.caip19, "symbol": found.coin.symbol},
        "open": found.is_open,
        "group": {
            "id": group.id.hex(),
            "threshold": group.threshold,
            "members": len(group.members),
            "key": None if group.key is None else group.key.hex(),
        },
        "vault": {"address": "0x" + found.vault.lockbox.hex(), "start_block": found.vault.start_block},
        "done": list(found.done),
        "toml": block,
    }


def _write(configs: Sequence[Path], chain: str, block: str) -> list[str]:
    """Append the block where it is missing; the paths of the files that changed."""
    from cli.evm_config import add_evm_block

    return [str(config) for config in configs if add_evm_block(config, chain, block)]


def _registered_text(document: dict[str, Any]) -> str:
    group = document["group"]
    known = [
        ("chain", document["caip2"]),
        ("final", document["finality"]),
        ("coin", f"{document['coin']['symbol']}, {document['coin']['caip19']}"),
        ("new ERC-20s", "vouchers introduce them" if document["open"] else "closed"),
        ("group", f"{group['id']}, {group['threshold']} of {group['members']} sign"),
        ("vault", f"{document['vault']['address']}, since block {document['vault']['start_block']:,}"),
        ("done now", ", ".join(document["done"]) or "nothing was left to do"),
    ]
    written = "".join(f"\nwritten to {path}" for path in document["written"])
    return f"{facts(known)}\n\n{_BLOCK_HINT}\n\n{document['toml']}{written}".rstrip()


@app.command("list")
def list_chains(network: NetworkOption = None, as_json: JsonOption = False) -> None:
    """List the chains that are registered, in the order of their registration.

    \b
    Example:
      causeway chain list
    """
    from cli.chain_view import chain_document, list_text

    found = network_file(network)

    async def work() -> list[dict[str, Any]]:
        async with open_native(found) as native:
            return [await chain_document(native, found, chain, ()) for chain in await native.chains("latest")]

    documents = run(work())
    Output(as_json).result({"chains": documents}, lambda: list_text(documents))


@app.command("show")
def show(
    chain: Annotated[str, typer.Argument(metavar="CHAIN", help="Its CAIP-2 text, its id, or the id's beginning.")],
    rpc: Annotated[
        list[str] | None,
        typer.Option(
            "--rpc", metavar="URL", help="An endpoint of it, to look at its vault; by default the network file's."
        ),
    ] = None,
    network: NetworkOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a chain: genesis, finality, group, vault, and what the vault says of itself where an endpoint is known.

    \b
    Example:
      causeway chain show eip155:1 --rpc https://one.example
      causeway chain show 9c3f5ad2 --json
    """
    from cli.chain_options import endpoints_of
    from cli.chain_view import chain_document, chain_text
    from cli.registry_lookup import find_chain
    from registry.chains import ChainKind

    found = network_file(network)

    async def work() -> dict[str, Any]:
        async with open_native(found) as native:
            wanted = await find_chain(native, chain)
            known = any(section.chain == wanted.caip2 for section in found.settings.evm)
            looks = wanted.kind is ChainKind.EVM and (bool(rpc) or known)
            urls = endpoints_of(found, wanted.chain_id, rpc) if looks else ()
            return await chain_document(native, found, wanted, urls)

    document = run(work())
    Output(as_json).result(document, lambda: chain_text(document))
