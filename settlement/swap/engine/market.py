"""What a trader knows and has: the assets of its configuration, and the money at its nodes."""

from __future__ import annotations

from adapters.evm.lockbox.types import NATIVE_COIN
from foundation.errors import Retryable
from foundation.quantities import Satoshi, Wei
from registry.amounts import format_amount
from settlement.swap.bitcoin.funding import is_usable
from settlement.swap.engine.hands.desk import Desk
from settlement.swap.engine.hands.funding import most_fee
from settlement.swap.engine.promised import Promised
from settlement.swap.engine.settings import AssetName, TraderSettings
from settlement.swap.engine.trading import OfferUnknown
from settlement.swap.evm.assets import check_asset
from settlement.swap.evm.gas import GasNeed, whole_need
from settlement.swap.evm.opening import Views
from settlement.swap.offers import Offer
from settlement.swap.planning.conditions import Conditions
from settlement.swap.terms import Role


class NotEnough(Retryable):
    """The trader's own money does not suffice. Fields: what; needed, held (base units, without what is promised in
    other swaps; below zero where more is promised than is there); gas (of what is needed, for gas)."""

    cure = "pay more in, or wait until swaps that it is promised in have ended"

    def __init__(self, what: str, needed: int, held: int, asset: AssetName, gas: int = 0) -> None:
        self.what = what
        self.needed = needed
        self.held = held
        self.gas = gas

        def told(units: int) -> str:
            return format_amount(units, asset.decimals, symbol=asset.symbol)

        part = f" ({told(gas)} of that for gas)" if gas else ""
        super().__init__(
            f"{what}: {told(needed)} are needed{part}, and {told(max(0, held))} are there and not promised"
        )


class CapTooLow(Retryable):
    """`fee_cap_gwei` leaves no room for gas to become dearer: what has to be sent in time, a claim above all, might not
    be. Fields: needed (twice the base fee, and the tip), cap (wei per gas)."""

    def __init__(self, needed: Wei, cap: Wei) -> None:
        self.needed = needed
        self.cap = cap
        least = -(-needed // 10**9)
        self.cure = f"raise fee_cap_gwei in swap.toml to {least:,} or more, or wait until gas is cheaper"
        super().__init__(f"a claim may need {least:,} gwei for a unit of gas, and the cap is {cap // 10**9:,}")


class TraderMarket:
    """`trading.Market` by a trader's own configuration and nodes."""

    def __init__(self, settings: TraderSettings, desk: Desk, views: Views) -> None:
        self._settings = settings
        self._desk = desk
        self._views = views

    def check_known(self, offer: Offer) -> None:
        """See `trading.Market`."""
        check_known(self._settings, offer)

    def conditions(self, offer: Offer) -> Conditions:
        """See `trading.Market`."""
        self.check_known(offer)
        return self._settings.conditions

    async def check_able(self, offer: Offer, role: Role, promised: Promised) -> None:
        """See `trading.Market`."""
        at = await self._desk.evm.check()
        await self._desk.rpc.check_network(self._settings.bitcoin.network)
        asset = self._settings.token(offer.asset)
        if asset is None:
            raise OfferUnknown("asset", f"the token 0x{offer.asset.hex()} is not in swap.toml")
        await check_asset(self._views.heads, self._settings.site, offer.asset, at, decimals=asset.decimals)
        if role is Role.FOLLOWER:
            await self._check_bitcoin(offer, promised)
        await self._check_evm(offer, role, asset, promised)

    async def _check_bitcoin(self, offer: Offer, promised: Promised) -> None:
        held = sum(coin.value for coin in await self._desk.wallet.coins() if is_usable(coin)) - promised.satoshi
        needed = offer.satoshi + min(most_fee(offer.satoshi), Satoshi(10_000))
        if held < needed:
            raise NotEnough("the bitcoin wallet", needed, held, self._settings.assets[0])

    async def _check_evm(self, offer: Offer, role: Role, asset: AssetName, promised: Promised) -> None:
        """Of the asset what is to be locked; of the coin, this side's gas beside that of other swaps."""
        leg, settings = self._desk.evm, self._settings
        base_fee = await leg.base_fee()
        wanted_fee = 2 * base_fee + leg.fees.tip
        if wanted_fee > leg.fees.cap:
            raise CapTooLow(Wei(wanted_fee), leg.fees.cap)

        def cost(need: GasNeed) -> Wei:
            return need.cost(base_fee, leg.fees, settings.conditions.evm)

        gas = cost(whole_need(role, offer.asset))
        coin = await leg.funds(NATIVE_COIN) - promised.of(NATIVE_COIN) - cost(promised.gas)
        wanted = offer.amount if role is Role.INITIATOR else 0
        if any(offer.asset):
            held = await leg.funds(offer.asset) - promised.of(offer.asset) if wanted else 0
            if held < wanted:
                raise NotEnough("the EVM account", wanted, held, asset)
            wanted = 0
        if coin < wanted + gas:
            raise NotEnough("the EVM account, gas included", wanted + gas, coin, settings.assets[1], gas)


def check_known(settings: TraderSettings, offer: Offer) -> None:
    """Make sure that an offer's chains, contract and asset are those of a configuration.

    Raises:
        OfferUnknown: names what is not.
    """
    if offer.bitcoin_chain != settings.bitcoin_chain:
        raise OfferUnknown("bitcoin_chain", f"{offer.bitcoin_chain} is not {settings.bitcoin_chain}")
    if offer.evm_chain != settings.evm_chain:
        raise OfferUnknown("evm_chain", f"{offer.evm_chain} is not {settings.evm_chain}")
    if offer.escrow != settings.site.escrow:
        raise OfferUnknown("escrow", f"0x{offer.escrow.hex()} is not the Escrow of swap.toml")
    if settings.token(offer.asset) is None:
        raise OfferUnknown("asset", f"the token 0x{offer.asset.hex()} is not in swap.toml")
