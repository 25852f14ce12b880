"""What a withdrawal will do, worked out before anything is sent: asset, amount, where it goes, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from adapters.evm.hexes import address_text as account_text
from adapters.evm.hexes import parse_address as parse_account
from cli.exits import NotFound
from cli.lock_assets import Destination
from cli.registry_lookup import find_asset
from foundation.errors import BadInput
from foundation.quantities import TokenUnits, Wei
from registry.caip import AssetType, lockbox_asset
from registry.chains import Chain, ChainKind

if TYPE_CHECKING:
    from adapters.native.chain import NativeChain
    from cli.context import NetworkFile
    from registry.assets import Asset

RELAY_SHARE_BPS: Final = 10
"""What a carrier is offered where nobody can say what gas is worth in the asset: a thousandth of the amount."""
RELEASE_GAS: Final = 110_000
"""What a release of one payment needs, with its transaction."""
GAS_MARGIN: Final = 2
"""The price of gas may double before somebody carries the release."""


@dataclass(frozen=True, slots=True)
class WithdrawTerms:
    """What is withdrawn. Fields: asset; chain (where it is paid); amount (that leaves the account); service_fee (of
    it, for vouchers and storemen); destination (a scriptPubKey, or an account of 20 bytes); shown (that, for people).
    """

    asset: Asset
    chain: Chain
    amount: TokenUnits
    service_fee: TokenUnits
    destination: bytes
    shown: str

    @property
    def is_release(self) -> bool:
        """Whether a vault on an EVM chain pays it."""
        return self.chain.kind is ChainKind.EVM

    @property
    def payable(self) -> TokenUnits:
        """What is left after the service fee, the miner's or the carrier's fee included."""
        return TokenUnits(self.amount - self.service_fee)

    @property
    def pays_in_coin(self) -> bool:
        """Whether it is the coin in which the chain's gas is paid."""
        return self.is_release and not any(lockbox_asset(AssetType.parse(self.asset.caip19)))

    def text(self, fee: int) -> str:
        """All of it in one line, before the person says yes. `fee`: the miner's at most, or the carrier's."""
        show = self.asset.format
        whose = "the carrier gets" if self.is_release else "the miner gets at most"
        least = "" if self.is_release else "at least "
        return (
            f"{show(self.amount)} of tokens: the service fee is {show(self.service_fee)}, {whose} {show(fee)}, "
            f"{least}{show(self.payable - fee)} arrives at {self.shown} on {self.chain.caip2}"
        )


async def read_terms(
    native: NativeChain, network: NetworkFile, amount: str, to: str, asset: str | None
) -> WithdrawTerms:
    """What a person asks for.

    Raises:
        BadInput: naming the argument that is wrong: another chain's address, too little, a paused asset.
        NotFound: an asset or a chain that the bridge does not know.
    """
    wanted = Destination.parse(to)
    found = await _asset(native, network, wanted, asset)
    chain = await native.chain_info(found.chain, "latest")
    assert chain is not None, "the Registry has the chain of each asset"
    if wanted.chain not in (None, chain.caip2):
        problem = f"is on {wanted.chain}, and {found.symbol} is on {chain.caip2}"
        raise BadInput("--to", problem, f"an address of {chain.caip2}, or the --asset that is on {wanted.chain}")
    script, shown = await _address(native, network, chain, wanted.address)
    units = found.parse(amount, "AMOUNT")
    policy = found.policy
    _check_amount(found, units)
    return WithdrawTerms(found, chain, units, policy.service_fee(units), script, shown)


def _check_amount(asset: Asset, units: TokenUnits) -> None:
    """Say plainly what the Hub would refuse. Raises `BadInput`."""
    policy = asset.policy
    if not policy.is_open:
        how = "is not taken any more" if policy.denied else "is paused"
        raise BadInput(
            "--asset", f"{asset.symbol} {how}: no withdrawal begins", "wait until the bridge's owner says more"
        )
    if units < policy.minimum_withdrawal or units <= policy.service_fee(units):
        least = max(policy.minimum_withdrawal, policy.fee_floor + 1)
        raise BadInput("AMOUNT", f"{asset.format(units)} is below the minimum", f"at least {asset.format(least)}")
    if policy.withdrawal_limit and units > policy.withdrawal_limit:
        most = asset.format(policy.withdrawal_limit)
        raise BadInput("AMOUNT", f"{asset.format(units)} is more than may leave in a day", f"at most {most}")


async def _asset(native: NativeChain, network: NetworkFile, to: Destination, text: str | None) -> Asset:
    """The asset that is named; else the coin of the chain that the destination names; else bitcoin."""
    if text is not None:
        return await find_asset(native, text, "--asset")
    if not to.looks_like_evm:
        bitcoin = await native.asset(network.asset, "latest")
        if bitcoin is None:
            raise NotFound("bitcoin is not registered on this bridge", "--asset names another one")
        return bitcoin
    if to.chain is None:
        problem = "is missing: accounts on EVM chains may hold many assets"
        raise BadInput("--asset", problem, "--asset ETH, or --to eip155:1:0x… for the chain's own coin")
    coins = [asset for asset in await native.assets("latest") if asset.caip19.startswith(f"{to.chain}/slip44:")]
    if len(coins) != 1:
        raise BadInput(
            "--asset", f"is missing: {to.chain} has {len(coins)} coins here", "name one: causeway asset list"
        )
    return coins[0]


async def _address(native: NativeChain, network: NetworkFile, chain: Chain, text: str) -> tuple[bytes, str]:
    """What the Hub is told, and how people write it."""
    if chain.kind is ChainKind.BITCOIN:
        from adapters.bitcoin.addresses import parse_address

        if chain.id != network.chain:
            cure = "the network file of the bitcoin network that the asset is on"
            raise BadInput("--network", f"is for another chain than {chain.caip2}", cure)
        if text.startswith("0x"):
            raise BadInput(
                "--to", "is an account on an EVM chain, and bitcoin is withdrawn", "a bitcoin address, or --asset"
            )
        return parse_address(text, network.network, "--to"), text
    account = parse_account(text, "--to")
    vault = await native.vault(chain.id, "latest")
    if vault is None:
        raise NotFound(f"{chain.caip2} has no vault yet", "wait until the bridge's owner has registered it")
    if account in (bytes(20), vault.lockbox):
        raise BadInput("--to", "cannot be paid: what went there would be lost", "an account of yours on the chain")
    return account, account_text(account)


def parse_relay_fee(terms: WithdrawTerms, text: str) -> TokenUnits:
    """The fee that a person offers a carrier. Raises `BadInput`."""
    fee = terms.asset.parse(text, "--relay-fee")
    check_relay_fee(terms, fee)
    return fee


def check_relay_fee(terms: WithdrawTerms, fee: int) -> None:
    """Raises `BadInput` where it leaves nothing to pay out."""
    if fee >= terms.payable:
        shown = terms.asset.format
        raise BadInput("--relay-fee", f"{shown(fee)} leaves nothing of {shown(terms.payable)}", "a lower fee")


def suggested_relay_fee(terms: WithdrawTerms, gas_price: Wei | None) -> tuple[TokenUnits, str]:
    """A fee that makes it worth while to carry the release, and why it is so.

    Of the chain's own coin twice what the gas costs now, where somebody has asked its node; else a share.

    Raises:
        BadInput: the amount does not pay for its carriage.
    """
    shown = terms.asset.format
    if gas_price is not None and terms.pays_in_coin:
        fee = TokenUnits(GAS_MARGIN * RELEASE_GAS * gas_price)
        if fee >= terms.payable:
            problem = f"{shown(terms.payable)} is too little: carrying it costs about {shown(fee // GAS_MARGIN)}"
            raise BadInput("AMOUNT", problem, "a larger amount, or --relay-fee")
        return fee, f"the carrier is offered {shown(fee)}, twice what the gas costs now"
    fee = TokenUnits(terms.payable * RELAY_SHARE_BPS // 10_000)
    return fee, f"the carrier is offered {shown(fee)}, a thousandth; --relay-fee offers more, and is carried sooner"
