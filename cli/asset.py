"""`causeway asset`: register an asset, change its policy, and look at the assets of a bridge."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.context import (
    AccountKeyOption,
    JsonOption,
    NetworkFile,
    NetworkOption,
    account_secret,
    command_group,
    network_file,
    open_native,
    open_sender,
    run,
)
from cli.exits import NotFound
from cli.output import Output
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
from foundation.errors import BadInput

if TYPE_CHECKING:
    from adapters.evm.lockbox.tokens import TokenDescription
    from adapters.native.chain import NativeChain
    from registry.assets import Asset
    from registry.caip import AssetType

app = command_group("Register an asset, change its policy, and look at the bridge's assets.")

_ASSET = "Its id or the beginning of it, CAIP-19 text, mapping token, or symbol."


@app.command("register")
def register(
    asset: Annotated[str, typer.Argument(metavar="CAIP19", help="Such as eip155:1/erc20:0x… or eip155:1/slip44:60.")],
    name: Annotated[str | None, typer.Option("--name", help="By default what the token's contract says.")] = None,
    symbol: Annotated[str | None, typer.Option("--symbol", help="By default what the contract says.")] = None,
    decimals: Annotated[
        int | None, typer.Option("--decimals", min=0, max=77, help="By default what the contract says.")
    ] = None,
    rpc: Annotated[
        list[str] | None,
        typer.Option("--rpc", metavar="URL", help="An endpoint of its chain; repeat it: all must agree."),
    ] = None,
    minimum_deposit: MinimumDepositOption = None,
    deposit_fee: DepositFeeOption = None,
    minimum_withdrawal: MinimumWithdrawalOption = None,
    fee: FeeOption = None,
    fee_floor: FeeFloorOption = None,
    deposit_limit: DepositLimitOption = None,
    withdrawal_limit: WithdrawalLimitOption = None,
    account_key: AccountKeyOption = None,
    network: NetworkOption = None,
    as_json: JsonOption = False,
) -> None:
    """Register an asset of a chain that is registered; only the contracts' owner may.

    Where a chain is open, vouchers introduce its ERC-20s by themselves at their first deposit, with the chain's policy.

    \b
    Example:
      causeway asset register eip155:1/erc20:0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48 --fee 10 \\
        --minimum-deposit 5 --account-key owner.key
    """
    from registry.caip import AssetType

    kind, secret, found = AssetType.parse(asset, "CAIP19"), account_secret(account_key), network_file(network)
    if kind.namespace == "erc20":
        kind = AssetType(kind.chain, "erc20", kind.reference.lower())
    texts = PolicyTexts(
        minimum_deposit, deposit_fee, minimum_withdrawal, fee, fee_floor, deposit_limit, withdrawal_limit
    )
    document = run(_register(found, kind, (name, symbol, decimals), rpc, texts, secret))
    text = f"registered {document['symbol']} as {document['id']}" if document["new"] else "it is registered already"
    Output(as_json).result(document, text)


async def _register(
    network: NetworkFile,
    kind: AssetType,
    said: tuple[str | None, str | None, int | None],
    rpc: Sequence[str] | None,
    texts: PolicyTexts,
    secret: bytes,
) -> dict[str, Any]:
    from foundation.quantities import TokenUnits
    from registry.assets import Asset, AssetPolicy

    async with open_native(network) as native:
        known = await native.asset(kind.id, "latest")
        new = known is None
        if known is None:
            if await native.chain_info(kind.chain.id, "latest") is None:
                raise NotFound(f"{kind.chain} is not registered", f"causeway chain register {kind.chain} --rpc URL")
            name, symbol, decimals = said
            if name is None or symbol is None or decimals is None:
                found = await _description(network, native, kind, rpc)
                name, symbol = name or found.name, symbol or found.symbol
                decimals = found.decimals if decimals is None else decimals
            smallest = AssetPolicy(TokenUnits(1), TokenUnits(0), TokenUnits(0))
            known = Asset.named(kind, name, symbol, decimals, texts.policy(smallest, decimals))
            async with open_sender(network, native, secret) as sender:
                await sender.send(native.calls.register_asset(known), f"asset {known.caip19}")
        return {
            "new": new,
            "id": known.id.hex(),
            "caip19": known.caip19,
            "name": known.name,
            "symbol": known.symbol,
            "decimals": known.decimals,
        }


async def _description(
    network: NetworkFile, native: NativeChain, kind: AssetType, rpc: Sequence[str] | None
) -> TokenDescription:
    """What the token's contract says, as all endpoints agree."""
    from adapters.evm.endpoints import Endpoints
    from adapters.evm.errors import NodeUnavailable
    from adapters.evm.lockbox.tokens import token_description
    from cli.chain_options import endpoints_of
    from registry.caip import lockbox_asset

    if kind.namespace != "erc20":
        raise BadInput("--name", f"{kind} has no contract that could be asked", "give --name, --symbol and --decimals")
    token = lockbox_asset(kind)
    chain = await native.chain_info(kind.chain.id, "latest")
    assert chain is not None, "it was looked up before"
    async with Endpoints.at(endpoints_of(network, kind.chain, rpc), chain) as endpoints:
        final = await endpoints.final()
        if final is None:
            raise NodeUnavailable("eth_getBlockByNumber", "no block is final yet")
        if not await endpoints.code(token, final.number):
            raise NotFound(f"no contract is at 0x{token.hex()} on {kind.chain}", "look at the address and the chain")
        return await token_description(endpoints, token, final.number)


@app.command("policy")
def policy(
    asset: Annotated[str, typer.Argument(metavar="ASSET", help=_ASSET)],
    minimum_deposit: MinimumDepositOption = None,
    deposit_fee: DepositFeeOption = None,
    minimum_withdrawal: MinimumWithdrawalOption = None,
    fee: FeeOption = None,
    fee_floor: FeeFloorOption = None,
    deposit_limit: DepositLimitOption = None,
    withdrawal_limit: WithdrawalLimitOption = None,
    paused: Annotated[
        bool | None, typer.Option("--pause/--resume", help="No mint and no new withdrawal, until it is resumed.")
    ] = None,
    denied: Annotated[
        bool | None,
        typer.Option(
            "--deny/--allow", help="The same for an asset that is unfit or delisted; the vault refuses it too."
        ),
    ] = None,
    account_key: AccountKeyOption = None,
    network: NetworkOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change an asset's policy: what is named changes, all else stays. Only the contracts' owner may.

    \b
    Example:
      causeway asset policy eip155:1/slip44:60 --fee 10 --deposit-limit 500 --account-key owner.key
      causeway asset policy 9c3f5ad2 --pause --account-key owner.key
    """
    from cli.policy_options import policy_document
    from cli.registry_lookup import find_asset

    texts = PolicyTexts(
        minimum_deposit, deposit_fee, minimum_withdrawal, fee, fee_floor, deposit_limit, withdrawal_limit
    )
    if texts == PolicyTexts() and paused is None and denied is None:
        raise BadInput("policy", "nothing shall change", "name what shall: causeway asset policy --help")
    secret, found = account_secret(account_key), network_file(network)

    async def work() -> tuple[bool, Asset]:
        async with open_native(found) as native, open_sender(found, native, secret) as sender:
            known = await find_asset(native, asset)
            wanted = texts.policy(known.policy, known.decimals)
            wanted = replace(
                wanted,
                paused=wanted.paused if paused is None else paused,
                denied=wanted.denied if denied is None else denied,
            )
            if wanted != known.policy:
                await sender.send(native.calls.set_asset_policy(known.id, wanted), f"policy {secrets.token_hex(8)}")
            return wanted != known.policy, replace(known, policy=wanted)

    changed, known = run(work())
    document = {"id": known.id.hex(), "changed": changed, "policy": policy_document(known.policy)}
    told = "has its new policy" if changed else "has this policy already"
    Output(as_json).result(document, f"{known.symbol} ({known.caip19}) {told}")


@app.command("list")
def list_assets(network: NetworkOption = None, as_json: JsonOption = False) -> None:
    """List the assets that are registered, with a warning where several share a symbol.

    \b
    Example:
      causeway asset list
    """
    from cli.asset_view import asset_documents, list_text

    found = network_file(network)

    async def work() -> list[dict[str, Any]]:
        async with open_native(found) as native:
            return await asset_documents(native, await native.assets("latest"))

    documents = run(work())
    Output(as_json).result({"assets": documents}, lambda: list_text(documents))


@app.command("show")
def show(
    asset: Annotated[str, typer.Argument(metavar="ASSET", help=_ASSET)],
    network: NetworkOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show an asset: policy, mapping token, supply, and whether it stands still.

    \b
    Example:
      causeway asset show ETH
      causeway asset show eip155:1/erc20:0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48
    """
    from cli.asset_view import asset_documents, asset_text
    from cli.registry_lookup import find_asset

    found = network_file(network)

    async def work() -> dict[str, Any]:
        async with open_native(found) as native:
            wanted = await find_asset(native, asset)
            return (await asset_documents(native, await native.assets("latest"), [wanted]))[0]

    document = run(work())
    Output(as_json).result(document, lambda: asset_text(document))
