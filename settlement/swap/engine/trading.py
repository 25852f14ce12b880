"""From an offer to a swap: making offers, taking others', and answering those who take one's own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

import structlog

from foundation.errors import BadInput, CausewayError, Fatal, Retryable
from foundation.quantities import Satoshi, TokenUnits, UnixMs
from settlement.swap.engine.correspondence import Correspondence, Mailbox
from settlement.swap.engine.office import Office
from settlement.swap.engine.own_offers import mark_taken
from settlement.swap.engine.promised import Promised, promised
from settlement.swap.handshake import Part, TermsDiffer, check_accepted, make_terms, sign_terms, terms_are_signed
from settlement.swap.letters.bodies import PROBLEM_MAX, Accept, Body, Refuse, Say, Take, TermsSigned
from settlement.swap.letters.letter import Letter, LetterRefused, Reader
from settlement.swap.machine.changes import LetterCame, PeerAgreed
from settlement.swap.machine.states import new_swap
from settlement.swap.offers import SALT_BYTES, Offer, OfferExpired, SignedOffer
from settlement.swap.planning.conditions import Conditions
from settlement.swap.planning.plan import check, plan
from settlement.swap.store.store import OfferState, OwnOffer, Peer, SwapRow, SwapStore, Taking, TakingState
from settlement.swap.terms import Mode, Role, SwapTerms
from settlement.swap.wallet.secrets import TraderKeys

OFFER_MARGIN_SECONDS: Final = 30
"""An offer that is about to end is not taken: the answer would come too late."""
SPARE_SECONDS: Final = 600
"""So long after an offer has ended its keys serve another one: whoever takes one at its last moment was answered."""
OFFERS_MAX: Final = 2_000
"""Own offers that wait at a time. Each has keys of its own, and a recovery looks for so many unused ones in a row."""
_log = structlog.get_logger(__name__)


class TooManyOffers(Retryable):
    """So many own offers wait that no other is made now."""

    def __init__(self) -> None:
        super().__init__(f"{OFFERS_MAX:,} offers wait already; try again when some have ended")


class OfferUnknown(Fatal):
    """The offer is of chains, contracts or assets that this trader does not know. Fields: field; problem; cure."""

    cure = (
        "take offers of your own chains, Escrow and assets; a token that you trust goes into swap.toml, as evm.tokens"
    )

    def __init__(self, field: str, problem: str) -> None:
        self.field = field
        self.problem = problem
        super().__init__(f"{field}: {problem}; no money has moved")


class Market(Protocol):
    """What this trader knows and has: its configuration and its nodes."""

    def check_known(self, offer: Offer) -> None:
        """Make sure that the offer's chains, contract and asset are those of the configuration.

        Raises:
            OfferUnknown: names what is not.
        """

    def conditions(self, offer: Offer) -> Conditions:
        """What the planner reckons with. Raises `UnsafeTerms`: nothing is known of a chain."""

    async def check_able(self, offer: Offer, role: Role, promised: Promised) -> None:
        """Make sure that the nodes serve the right chains, the contract is ours, and the money and fees are there
        beside what is promised.

        Raises:
            BadInput, Retryable, Fatal: say what is missing.
        """


@dataclass(frozen=True, slots=True)
class Draft:
    """What a maker wants to offer.

    Fields: gives_bitcoin; satoshi; amount (of the EVM asset, base units); mode; valid_seconds; place (URL of the
    mailboxes where the maker reads).
    """

    gives_bitcoin: bool
    satoshi: Satoshi
    amount: TokenUnits
    mode: Mode
    valid_seconds: int
    place: str


class Trading:
    """See the module."""

    def __init__(
        self,
        office: Office,
        keys: TraderKeys,
        market: Market,
        seconds: Callable[[], int],
        accepts: Callable[[Offer], None] | None = None,
    ) -> None:
        """Describe it; `letters` is set before anything is received or sent.

        Args:
            office: the swaps.
            keys: the wallet's.
            market: what is known.
            seconds: the time since 1970.
            accepts: a maker's own limits; raises `BadInput` where an offer is not to be taken now.
        """
        self.letters: Correspondence
        self._office = office
        self._keys = keys
        self._market = market
        self._seconds = seconds
        self._accepts = accepts
        self._asked: dict[bytes, float] = {}

    # --- Own offers ---------------------------------------------------------------------------------------------------

    async def offer(self, draft: Draft, template: Offer) -> OwnOffer:
        """Sign and keep an offer. Nothing is published, and no money is bound.

        Keys of offers that came to nothing are used again: a maker that strangers ask for prices, or that publishes
        the day long, would otherwise use up more of them than a recovery from the words looks for.

        Args:
            draft: what to offer.
            template: with the configuration's chains, contract, asset and confirmations; the rest is filled in.

        Raises:
            BadInput, UnsafeTerms: no safe swap comes of it, or a field does not fit.
            TooManyOffers: not now.
        """
        now = self._seconds()
        conditions = self._market.conditions(template)
        planned = plan(draft.satoshi, now, conditions)
        async with self._office.database.unit() as unit:
            store = SwapStore(unit.connection)
            index = await store.spare_index(now - SPARE_SECONDS)
            if index is None:
                if await store.waiting_offers() >= OFFERS_MAX:
                    raise TooManyOffers
                index = await store.new_index()
            secrets = self._keys.swap(index)
            offer = replace(
                template,
                maker=secrets.identity_key,
                letters=Reader(secrets.identity_key, secrets.letters).letters,
                place=draft.place,
                mode=draft.mode,
                gives_bitcoin=draft.gives_bitcoin,
                satoshi=draft.satoshi,
                amount=draft.amount,
                bitcoin_confirmations=planned.bitcoin_confirmations,
                evm_confirmations=planned.evm_confirmations,
                account=self._keys.account,
                made_at=now,
                valid_until=now + draft.valid_seconds,
                salt=os.urandom(SALT_BYTES),
            )
            signed = SignedOffer.sign(offer, secrets.identity)
            state = OfferState.OPEN if self._accepts is None else OfferState.SERVED
            own = OwnOffer(index, signed, state, "", UnixMs(now * 1000))
            await store.put_offer(own)
            await unit.commit()
        self._office.wake()
        return own

    async def check_able(self, draft: Draft, template: Offer) -> None:
        """Make sure that a maker has what it is about to offer. Raises as `Market.check_able`."""
        offer = replace(
            template, satoshi=draft.satoshi, amount=draft.amount, mode=draft.mode, gives_bitcoin=draft.gives_bitcoin
        )
        await self._market.check_able(offer, offer.maker_role, await self._promised())

    async def set_offer(self, own: OwnOffer) -> None:
        """Keep an own offer's new state, or where it is published."""
        async with self._office.database.unit() as unit:
            await SwapStore(unit.connection).put_offer(own)
            await unit.commit()
        self._office.wake()

    # --- Others' offers -----------------------------------------------------------------------------------------------

    async def take(self, signed: SignedOffer) -> Taking:
        """Decide to take an offer, once: the same offer again is the same taking, and one that was given up is one that
        is asked for again. Nothing binds money yet.

        Raises:
            OfferExpired: it is too late.
            OfferUnknown: of chains, contracts or assets that are not known.
            UnsafeTerms: no safe swap comes of it.
            BadInput, Retryable: money, or a node, is missing.
        """
        async with self._office.database.view() as view:
            known = await SwapStore(view.connection).taking(signed.offer.offer_id)
        if known is not None and known.state is not TakingState.GIVEN_UP:
            return known
        offer, now = signed.offer, self._seconds()
        signed.check_time(now + OFFER_MARGIN_SECONDS)
        self._market.check_known(offer)
        plan(offer.satoshi, now, self._market.conditions(offer))
        await self._market.check_able(offer, offer.maker_role.other, await self._promised())
        async with self._office.database.unit() as unit:
            store = SwapStore(unit.connection)
            index = await store.new_index() if known is None else known.index
            made = Taking(index, signed, TakingState.ASKED, "", None, UnixMs(now * 1000))
            await store.put_taking(made)
            await unit.commit()
        self._office.wake()
        return made

    async def ask(self, every_seconds: float) -> None:
        """Say to each maker that its offer is taken, at once and then again, until it answers or the offer ends."""
        async with self._office.database.view() as view:
            waiting = await SwapStore(view.connection).open_takings()
        now = time.monotonic()
        for taking in waiting:
            offer = taking.signed.offer
            if now < self._asked.get(taking.offer_id, float("-inf")) + every_seconds:
                continue
            self._asked[taking.offer_id] = now
            if self._seconds() >= offer.valid_until:
                await self._end(taking, TakingState.REFUSED, "its maker did not answer in time; no money has moved")
                continue
            secrets = self._keys.swap(taking.index)
            part = Part.of(secrets, self._keys.account, offer.maker_role.other, offer.mode)
            reader = Reader(secrets.identity_key, secrets.letters)
            try:
                await self.letters.send(taking.index, _maker(offer), offer.offer_id, part.take(reader.letters))
            except Retryable as error:
                _log.info("the maker cannot be reached now", problem=str(error))
            except Fatal as error:
                await self._end(taking, TakingState.REFUSED, str(error))

    # --- Letters ------------------------------------------------------------------------------------------------------

    async def receive(self, box: Mailbox, letter: Letter, body: Body) -> None:
        """Take in a letter that was opened and is its sender's. Raises `LetterRefused` for what is not for us."""
        match body:
            case Take():
                await self._taken(box, letter, body)
            case Accept():
                await self._accepted(letter, body)
            case Refuse(problem=problem):
                taking = await self._taking_of(letter)
                shown = "".join(one for one in problem if one.isprintable())
                await self._end(taking, TakingState.REFUSED, f"its maker refuses: {shown}")
            case TermsSigned(signature=signature):
                row = await self._swap_of(letter)
                if not terms_are_signed(row.swap_id, row.peer.identity, signature):
                    raise LetterRefused("the signature over the terms does not hold")
                await self._office.apply(row.swap_id, [PeerAgreed()], signature=signature)
            case Say(message=message):
                row = await self._swap_of(letter)
                await self._office.apply(row.swap_id, [LetterCame(message)])

    async def _swap_of(self, letter: Letter) -> SwapRow:
        row = await self._office.swap(letter.subject)
        if row is None:
            raise LetterRefused("it is about a swap that is not ours, or not yet")
        if not row.peer.is_known or row.peer.identity != letter.sender:
            raise LetterRefused("it is not from the other side of that swap")
        return row

    async def _taking_of(self, letter: Letter) -> Taking:
        async with self._office.database.view() as view:
            taking = await SwapStore(view.connection).taking(letter.subject)
        if taking is None or taking.signed.offer.maker != letter.sender:
            raise LetterRefused("it answers nothing that we asked")
        if taking.state is not TakingState.ASKED:
            raise LetterRefused("that was answered before")
        return taking

    async def _promised(self) -> Promised:
        rows = await self._office.swaps(open_only=True)
        async with self._office.database.view() as view:
            takings = await SwapStore(view.connection).open_takings()
        return promised((row.state for row in rows), (one.signed.offer for one in takings))

    # --- The maker's side ---

    async def _taken(self, box: Mailbox, letter: Letter, take: Take) -> None:
        async with self._office.database.view() as view:
            store = SwapStore(view.connection)
            own, row = await store.offer(letter.subject), await store.swap_of(box.index)
        if own is None or own.index != box.index:
            raise LetterRefused("it takes an offer that is not ours")
        offer = own.signed.offer
        taker = Peer(letter.sender, take.letters, offer.place)
        if row is None:
            try:
                row = await self._accept(own, taker, take)
            except CausewayError as error:
                _log.info("an offer is not taken", offer=offer.offer_id.hex()[:12], problem=str(error))
                await self.letters.send(box.index, taker, offer.offer_id, Refuse(_told(error)))
                return
        answer: Body = Refuse("somebody took it")
        if row.peer.identity == taker.identity:
            signature = sign_terms(row.swap_id, self._keys.swap(row.index).identity)
            answer = Accept(row.state.terms_bytes, signature)
        await self.letters.send(box.index, taker, offer.offer_id, answer)

    async def _accept(self, own: OwnOffer, taker: Peer, take: Take) -> SwapRow:
        offer, now = own.signed.offer, self._seconds()
        if not own.state.is_open:
            raise BadInput("offer", f"is {own.state.value}", "ask its maker for another one")
        own.signed.check_time(now)
        if self._accepts is not None:
            self._accepts(offer)
        role, conditions = offer.maker_role, self._market.conditions(offer)
        await self._market.check_able(offer, role, await self._promised())
        planned = plan(offer.satoshi, now, conditions)
        maker = Part.of(self._keys.swap(own.index), offer.account, role, offer.mode)
        terms = make_terms(
            offer,
            maker,
            Part.in_take(take),
            bitcoin_expires_at=planned.bitcoin_expires_at,
            evm_expires_at=planned.evm_expires_at,
            agreed_at=now,
        )
        row = self._row(own.index, own.signed, taker, terms, role, conditions, is_maker=True)
        # The nodes may have taken long: the offer's time, and whether it is open, count now.
        await self._office.begin(row, (), lambda store: mark_taken(store, own, self._seconds()))
        return row

    # --- The taker's side ---

    async def _accepted(self, letter: Letter, body: Accept) -> None:
        taking = await self._taking_of(letter)
        offer, now = taking.signed.offer, self._seconds()
        role, conditions = offer.maker_role.other, self._market.conditions(offer)
        part = Part.of(self._keys.swap(taking.index), self._keys.account, role, offer.mode)
        try:
            terms = SwapTerms.decode(body.terms)
            check_accepted(offer, part, terms, now)
            if not terms_are_signed(terms.swap_id, offer.maker, body.signature):
                raise TermsDiffer("the maker did not sign them")
            row = self._row(taking.index, taking.signed, _maker(offer), terms, role, conditions, is_maker=False)
        except Fatal as error:
            await self._end(taking, TakingState.REFUSED, str(error))
            return
        agreed = replace(taking, state=TakingState.AGREED, swap_id=terms.swap_id)
        signed = replace(row, peer_signature=body.signature)
        await self._office.begin(signed, [PeerAgreed()], lambda store: store.put_taking(agreed))

    def _row(
        self,
        index: int,
        signed: SignedOffer,
        peer: Peer,
        terms: SwapTerms,
        role: Role,
        conditions: Conditions,
        *,
        is_maker: bool,
    ) -> SwapRow:
        """A new swap, by terms that this side has found safe. Raises `UnsafeTerms`."""
        now = self._office.clock()
        checked = check(terms, now // 1000, role, conditions)
        state = new_swap(role, terms, checked.gates, now)
        return SwapRow(terms.swap_id, index, is_maker, signed.text, peer, b"", state, 1, now, now)

    async def _end(self, taking: Taking, state: TakingState, problem: str) -> None:
        async with self._office.database.unit() as unit:
            await SwapStore(unit.connection).put_taking(replace(taking, state=state, problem=problem))
            await unit.commit()
        self._office.wake()


def _maker(offer: Offer) -> Peer:
    return Peer(offer.maker, offer.letters, offer.place)


def _told(error: CausewayError) -> str:
    """What a stranger hears of a refusal: of the offer all, of one's money and nodes nothing."""
    if isinstance(error, BadInput | OfferExpired):
        return str(error)[:PROBLEM_MAX]
    return "it cannot be swapped now; try again later, or another maker"
