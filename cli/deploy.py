"""`causeway deploy`: the bridge's contracts, and bitcoin registered in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli.context import AccountKeyOption, JsonOption, NetworkOption, account_secret, command_group, network_file, run
from cli.output import Output, facts

if TYPE_CHECKING:
    from adapters.native.types import BondTerms
    from cli.context import NetworkFile
    from registry.assets import AssetPolicy

app = command_group("Deploy the bridge's contracts on a native chain.", no_args_is_help=False)

_BITCOIN_DECIMALS: Final = 8
_COIN_DECIMALS: Final = 18
_DAY: Final = 86_400


@app.command()
def deploy(
    account_key: AccountKeyOption = None,
    network: NetworkOption = None,
    minimum_stake: Annotated[str, typer.Option("--minimum-stake", help="Of a voucher, in the chain's coin.")] = "1",
    unbonding: Annotated[int, typer.Option("--unbonding", help="How long bonds leave, in seconds.")] = 14 * _DAY,
    slash: Annotated[int, typer.Option("--slash", help="What a liar loses, in basis points of its bond.")] = 5_000,
    reward: Annotated[int, typer.Option("--reward", help="Of that, for who proves it; in basis points.")] = 1_000,
    minimum_deposit: Annotated[str, typer.Option("--minimum-deposit", help="In bitcoin.")] = "0.0001",
    deposit_fee: Annotated[str, typer.Option("--deposit-fee", help="Kept from each deposit; in bitcoin.")] = "0.00002",
    minimum_withdrawal: Annotated[str, typer.Option("--minimum-withdrawal", help="In bitcoin.")] = "0.0001",
    fee: Annotated[int, typer.Option("--fee", help="For vouchers and storemen, in basis points.")] = 0,
    fee_floor: Annotated[str, typer.Option("--fee-floor", help="The least of it, in bitcoin.")] = "0",
    deposit_limit: Annotated[str, typer.Option("--deposit-limit", help="A day, in bitcoin; 0: none.")] = "0",
    withdrawal_limit: Annotated[str, typer.Option("--withdrawal-limit", help="A day, in bitcoin; 0: none.")] = "0",
    confirmations: Annotated[
        int | None, typer.Option("--confirmations", help="That make a bitcoin payment final; 6, on regtest 1.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Deploy the contracts, write the deployment file that the network file names, and register bitcoin.

    The account becomes the owner. Where the deployment file exists, only what is not registered yet is registered.

    \b
    Example:
      causeway deploy --network network.toml --account-key owner.key --minimum-stake 32
    """
    from adapters.native.types import BondTerms
    from foundation.quantities import TokenUnits, Wei
    from registry.amounts import parse_amount
    from registry.assets import AssetPolicy

    def bitcoin(text: str, field: str) -> TokenUnits:
        return TokenUnits(parse_amount(text, _BITCOIN_DECIMALS, field))

    policy = AssetPolicy(
        bitcoin(minimum_deposit, "--minimum-deposit"),
        bitcoin(deposit_fee, "--deposit-fee"),
        bitcoin(minimum_withdrawal, "--minimum-withdrawal"),
        fee_bps=fee,
        fee_floor=bitcoin(fee_floor, "--fee-floor"),
        deposit_limit=bitcoin(deposit_limit, "--deposit-limit"),
        withdrawal_limit=bitcoin(withdrawal_limit, "--withdrawal-limit"),
    )
    policy.check()
    stake = Wei(parse_amount(minimum_stake, _COIN_DECIMALS, "--minimum-stake"))
    terms = BondTerms(stake, unbonding, slash, reward)
    terms.check()
    output = Output(as_json)
    document = run(_deploy(network_file(network), account_secret(account_key), terms, policy, confirmations, output))
    output.result(document, lambda: facts(document.items()))


async def _deploy(
    network: NetworkFile,
    secret: bytes,
    terms: BondTerms,
    policy: AssetPolicy,
    confirmations: int | None,
    output: Output,
) -> dict[str, Any]:
    from adapters.evm.errors import BadAnswer
    from adapters.evm.fees import FeePolicy
    from adapters.evm.flight import SenderPolicy
    from adapters.evm.hexes import address_text
    from adapters.evm.journal import VolatileJournal
    from adapters.evm.rpc import EvmRpc
    from adapters.evm.sender import TxSender
    from adapters.native.chain import NativeChain
    from adapters.native.deploy import deploy as deploy_contracts
    from adapters.native.errors import typed_revert
    from cli.founding import register_bitcoin

    sending = SenderPolicy(fees=FeePolicy(cap=network.settings.native.max_fee))
    path = network.deployment_path
    async with EvmRpc(network.settings.native.url, reverted=typed_revert) as rpc:
        chain_id = await rpc.chain_id()
        async with TxSender(rpc, VolatileJournal(), secret, chain_id, sending) as sender:
            if not path.exists():
                output.progress("deploying Registry, Bonds, MappingToken's blueprint and Hub")
                (await deploy_contracts(rpc, sender, terms)).save(path)
            deployment = network.deployment
            native = NativeChain(rpc, deployment)
            await native.check()
            output.progress("registering bitcoin")
            registered = await register_bitcoin(native, sender, network.network, policy, confirmations)
            asset = await native.asset(network.asset, "latest")
            if asset is None:
                raise BadAnswer("eth_call", "Registry.asset", "the asset is not there after it was registered")
    return {
        "deployment": str(path),
        "owner": address_text(sender.account),
        "registry": address_text(deployment.registry),
        "bonds": address_text(deployment.bonds),
        "hub": address_text(deployment.hub),
        "asset": asset.caip19,
        "newly_registered": registered,
    }
