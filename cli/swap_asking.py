"""Asking a maker that answers by itself, and making sure that it answers what was asked."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cli.output import short
from cli.swap_amounts import btc, evm_amount, parse_asset_amount, sides, span
from cli.swap_making import template
from foundation.errors import BadInput, Fatal
from settlement.swap.letters.post import Post
from settlement.swap.offers import Offer, check_place
from settlement.swap.terms import Mode

if TYPE_CHECKING:
    from cli.output import Output
    from settlement.swap.engine.settings import AssetName, TraderSettings


class QuoteDiffers(Fatal):
    """A maker offers something else than it was asked for. Fields: field (of the offer); asked, answered."""

    cure = "take nothing of it; ask another maker"

    def __init__(self, field: str, asked: object, answered: object) -> None:
        self.field = field
        self.asked = str(asked)
        self.answered = str(answered)
        super().__init__(f"the maker's offer is not what was asked for: {field} is {answered}, not {asked}")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a taker asks for. Fields: give, want (assets); units (of one of them); of_want (of what is wanted);
    private."""

    give: AssetName
    want: AssetName
    units: int
    of_want: bool
    private: bool

    @classmethod
    def read(cls, settings: TraderSettings, give: str, want: str, private: bool) -> Asked:
        """From one amount and one symbol. Raises `BadInput` naming the option."""
        of_want = give.strip()[:1].isalpha()  # a symbol begins with a letter; whatever else it is, is to be an amount
        text, field = (want, "--want") if of_want else (give, "--give")
        asset, units = parse_asset_amount(text, settings, field)
        other = settings.asset((give if of_want else want).strip(), "--give" if of_want else "--want")
        if (asset.token is None) == (other.token is None):
            raise BadInput("--want", "one side has to be bitcoin, and the other not", "like --give 1BTC --want ETH")
        given, wanted = (other, asset) if of_want else (asset, other)
        return cls(given, wanted, units, of_want, private)

    @property
    def token(self) -> bytes:
        """The EVM asset's address; zero: the coin."""
        token = self.give.token if self.give.token is not None else self.want.token
        assert token is not None, "one of them is not bitcoin"
        return token


def check_answer(asked: Asked, offer: Offer, settings: TraderSettings, now: int) -> None:
    """Make sure that an offer is what was asked for. Raises `QuoteDiffers` naming the first field that is not."""
    wants_bitcoin = asked.want.token is None
    of_bitcoin = (asked.want if asked.of_want else asked.give).token is None
    mode = Mode.POINT if asked.private else Mode.HASH
    fields: list[tuple[str, object, object]] = [
        ("bitcoin_chain", settings.bitcoin_chain, offer.bitcoin_chain),
        ("evm_chain", settings.evm_chain, offer.evm_chain),
        ("escrow", f"0x{settings.site.escrow.hex()}", f"0x{offer.escrow.hex()}"),
        ("asset", f"0x{asked.token.hex()}", f"0x{offer.asset.hex()}"),
        ("what the maker gives", _side(wants_bitcoin, asked), _side(offer.gives_bitcoin, asked)),
        ("the lock", f"by a {mode.value}", f"by a {offer.mode.value}"),
    ]
    if of_bitcoin:
        fields.append(("the amount", btc(asked.units), btc(offer.satoshi)))
    else:
        wanted_units, found_units = (evm_amount(settings, asked.token, one) for one in (asked.units, offer.amount))
        fields.append(("the amount", wanted_units, found_units))
    for field, wanted, found in fields:
        if wanted != found:
            raise QuoteDiffers(field, wanted, found)
    if offer.valid_until <= now:
        raise QuoteDiffers("its time", "valid for a while yet", "over")


def _side(is_bitcoin: bool, asked: Asked) -> str:
    bitcoin, other = (asked.give, asked.want) if asked.give.token is None else (asked.want, asked.give)
    return bitcoin.symbol if is_bitcoin else other.symbol


async def ask(settings: TraderSettings, output: Output, place: str, give: str, want: str, private: bool) -> None:
    """Ask a maker for an offer, and show it. `give`, `want`: one an amount, the other a symbol.

    Raises:
        BadInput: names the option.
        QuoteDiffers: it answers something else.
        OfferDamaged, PlaceUnavailable, PlaceRefuses: it answers with no offer, not now, or never.
    """
    check_place(place, "URL")
    asked = Asked.read(settings, give, want, private)
    some = template(settings, asked.token, "http://127.0.0.1:1")

    def caip(one: AssetName) -> str:
        return str(some.bitcoin_asset if one.token is None else some.evm_asset)

    async with Post(place, lambda: int(time.time())) as post:
        signed = await post.quote(
            caip(asked.give), caip(asked.want), asked.units, of_want=asked.of_want, private=private
        )
    offer, now = signed.offer, int(time.time())
    check_answer(asked, offer, settings, now)
    gives, wants = sides(settings, offer)
    bitcoin, evm = str(offer.satoshi), str(offer.amount)
    get, give_units = (bitcoin, evm) if offer.gives_bitcoin else (evm, bitcoin)
    document: dict[str, Any] = {
        "offer": signed.text,
        "offer_id": offer.offer_id.hex(),
        "give": {"asset": str(offer.wants), "amount": give_units},
        "get": {"asset": str(offer.gives), "amount": get},
        "valid_until": offer.valid_until,
    }
    text = (
        f"You give {wants} and get {gives}; valid for {span(offer.valid_until - now)}.\n"
        f"{btc(offer.satoshi)} against {evm_amount(settings, offer.asset, offer.amount)}, "
        f"maker {short(offer.maker)}\n\n{signed.text}"
    )
    output.result(document, text)
