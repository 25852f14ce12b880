"""What a liar may do: hold, bring, cancel, say and withhold, with one thing altered or none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.custody import changes as c
from settlement.custody import clearer
from settlement.custody.packet import Memo, decode_memo, encode_memo, forwarded_memo
from settlement.custody.terms import source_transfer_id, target_transfer_id
from settlement.ledgers.protocol import HoldState
from settlement.quantities import Condition, Preimage, Units, condition_of, fulfils
from tests.support.custody_liars import ACCOUNTS, A, LyingWorld
from tests.support.custody_world import LEDGERS, PARTIES, Message

FIELDS = ("none", "amount", "packet", "expires_at", "condition", "transfer_id", "ledger", "payee", "memo")

_LATER = (-60_000, -1_000, 1_000, 60_000)


class Lies:
    """The liars' hands. Each method takes numbers out of which it makes its choices, and does nothing if it cannot."""

    def __init__(self, world: LyingWorld) -> None:
        self._world = world

    def hold(self, liar: str, second: bool, base: int, altered: list[tuple[str, int]]) -> None:
        """Hold money of a liar's account, as something that is held or about to be, with some fields altered."""
        found = self._pick(self._bases(), base)
        if found is not None:
            for field, value in altered:
                found = self._altered(found, field, value)
            self._on_book(msgspec.structs.replace(found, payer=f"{liar}-2" if second else liar))

    def copy(self, liar: str, base: int, payee: str) -> None:
        """Hold the least for whoever is to be misled, under the id of something that is held, for a moment."""
        bases = [one for one in self._bases() if self._world.books[one.ledger].own_ids]  # a book has an id once
        held = [one for one in bases if self._is_held(one)]
        found = self._pick(bases if base % 3 == 0 else held or bases, base // 3)
        if found is not None:
            soon = self._world.now + 1_500
            made = {"payer": f"{liar}-2", "payee": payee, "amount": 1, "expires_at": soon}
            self._on_book(msgspec.structs.replace(found, **made))

    def mislead(self, liar: str, base: int, victim: str) -> None:
        """Let a copy come and go, and its reader be quick."""
        self.copy(liar, base, victim)
        if base % 2:
            self._world.hurry(victim)
        self.take_back(liar)
        self._world.hurry(victim)

    def take_back(self, liar: str) -> None:
        """Wait a moment, and end what is over its time."""
        self._world.pass_time(2_000)
        for account in (liar, f"{liar}-2"):
            for ledger, _, view in tuple(self._world.all_holds()):
                if view.state is HoldState.HELD and view.hold.payer == account:
                    ledger.cancel(account, view.hold.transfer_id)

    def tweak(self, liar: str, position: int, field: str, value: int) -> None:
        """Alter a hold that a liar's own machine is about to make."""
        outbox = self._world.parties[liar].outbox
        number = self._pick([one for one, (_, effect) in outbox.items() if isinstance(effect, c.MakeHold)], position)
        if number is not None:
            payment, effect = outbox[number]
            assert isinstance(effect, c.MakeHold)
            outbox[number] = (payment, self._altered(effect, field, value))

    def bring(self, liar: str, position: int, which: int) -> None:
        """Bring a preimage to a hold: one that opens it, if the liars have one."""
        held = [found for found in self._world.all_holds() if found[2].state is HoldState.HELD]
        found = self._pick(held, position)
        if found is not None:
            ledger, key, view = found
            preimages = self._world.known_preimages()
            fitting = [one for one in preimages if fulfils(one, view.hold.condition)]
            ledger.bring(liar, key, self._pick(fitting or preimages, which))

    def cancel(self, liar: str, second: bool, position: int) -> None:
        """Give back, or take back, under an id."""
        account = f"{liar}-2" if second else liar
        own = [one for one in self._world.all_holds() if account in (one[2].hold.payer, one[2].hold.payee)]
        found = self._pick([one for one in own if one[2].state is HoldState.HELD], position)
        if found is not None:
            ledger, _, view = found
            ledger.cancel(account, view.hold.transfer_id)

    def say(self, position: int, leaf: int, value: int, to: str | None) -> None:
        """Send once more what a liar has sent, with one value altered, or as it was; perhaps to another."""
        world = self._world
        message = self._pick([one for one in world.sent if one.sender in world.liars], position)
        if message is None:
            return
        body = message.body if leaf == 0 or isinstance(message.body, str) else self._mutated(message.body, leaf, value)
        payments = list(world.orders)
        payment = payments[value % len(payments)] if leaf == 1 else message.payment
        receiver = message.to if to is None or to == message.sender else to
        world.network.append(Message(message.sender, receiver, payment, body))

    def end(self, liar: str, to: str, position: int) -> None:
        """Say that a payment has ended."""
        payment = self._pick(list(self._world.orders), position)
        if payment is not None and liar != to:
            told = c.Told(liar, c.Why.CANCELLED, "a lie")
            self._world.network.append(Message(liar, to, payment, told))

    def withhold(self, liar: str, position: int) -> None:
        """Not do what the machine wants."""
        outbox = self._world.parties[liar].outbox
        number = self._pick(list(outbox), position)
        if number is not None:
            del outbox[number]

    def claim_now(self, liar: str, position: int) -> None:
        """As a clearing bank: claim a source with whatever preimage is known."""
        world = self._world
        payment = self._pick(list(world.orders), position)
        if payment is None:
            return
        for ledger in world.books.values():
            for preimage in world.known_preimages():
                ledger.fulfil(liar, source_transfer_id(payment), preimage)  # type: ignore[arg-type]

    # ---- inside

    def _pick(self, choices: list[Any], position: int) -> Any:
        return choices[position % len(choices)] if choices else None

    def _bases(self) -> list[c.MakeHold]:
        """Holds that are there, those that liars are about to make, and those that would be right."""
        world = self._world
        found = [
            c.MakeHold(
                *(ledger.name, view.hold.transfer_id, view.hold.payer, view.hold.payee, view.hold.amount),
                *(view.hold.condition, view.hold.expires_at, view.hold.memo),
            )
            for ledger, _, view in world.all_holds()
        ]
        for name in world.liars:
            found += [one for _, one in world.parties[name].outbox.values() if isinstance(one, c.MakeHold)]
        for payment, state in world.parties["clearing"].states.items():
            assert isinstance(state, clearer.State)
            found += self._right(payment, state, found)
        return found

    def _right(self, payment: bytes, state: clearer.State, known: list[c.MakeHold]) -> list[c.MakeHold]:
        """Both holds of a payment, as they ought to be as far as they are known."""
        source_id, target_id = source_transfer_id(payment), target_transfer_id(payment)  # type: ignore[arg-type]
        like = next((one for one in known if one.transfer_id in (source_id, target_id)), None)
        quote = state.offer.quote
        condition = like.condition if like else condition_of(Preimage(self._world.known_preimages()[0]))
        memo = like.memo if like else encode_memo(Memo(1, payment, quote.quote_id, bytes(32), bytes(32), b"", b""))
        return [
            c.MakeHold(leg.ledger, number, leg.payer, leg.payee, leg.amount, condition, leg.expires_at, memo)
            for leg, number in ((quote.source, source_id), (quote.target, target_id))
        ]

    def _is_held(self, one: c.MakeHold) -> bool:
        return self._world.state_at(one.ledger, one.payer, one.transfer_id) is HoldState.HELD

    def _on_book(self, effect: c.MakeHold) -> None:
        ledger = self._world.books[effect.ledger]
        if ledger.up and effect.payer != effect.payee and effect.amount > 0:
            ledger.hold(effect)

    def _altered(self, effect: c.MakeHold, field: str, value: int) -> c.MakeHold:
        world = self._world

        def among(*choices: Any) -> Any:
            return choices[value % len(choices)]

        payments = list(world.orders)
        ids = [of(one) for one in payments for of in (source_transfer_id, target_transfer_id)]  # type: ignore[arg-type]
        made: dict[str, Callable[[], Any]] = {
            "amount": lambda: among(1, max(1, effect.amount - 1), effect.amount + 1, 2 * effect.amount),
            "expires_at": lambda: among(*(effect.expires_at + by for by in _LATER), world.now + 5),
            "condition": lambda: Condition(condition_of(Preimage(among(*world.known_preimages())))),
            "transfer_id": lambda: among(*ids, bytes(32)),
            "ledger": lambda: among(*LEDGERS),
            "payee": lambda: among(*ACCOUNTS),
            "memo": lambda: among(*(one.memo for one in self._bases()), b"nothing"),
        }
        if field == "packet":  # an amount or a time that the packet agrees with
            amount, until = among((1, 0), (effect.amount - 1, 0), (effect.amount, -5_000), (effect.amount, 5_000))
            effect = msgspec.structs.replace(effect, amount=max(1, amount), expires_at=effect.expires_at + until)
            try:
                memo = forwarded_memo(decode_memo(effect.memo), Units(effect.amount), UnixMs(effect.expires_at))
            except BadInput:
                return effect
            return msgspec.structs.replace(effect, memo=memo)
        return effect if field == "none" else msgspec.structs.replace(effect, **{field: made[field]()})

    def _mutated(self, body: Any, leaf: int, value: int) -> Any:
        """The same with one of its values altered, however deep it is."""
        paths = list(_leaves(body))
        path = paths[leaf % len(paths)]
        return _with(body, path, value, self._world)


def _leaves(value: Any) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name in value.__struct_fields__:
        inner = getattr(value, name)
        found += [(name, *path) for path in _leaves(inner)] if isinstance(inner, msgspec.Struct) else [(name,)]
    return found or [()]


def _with(value: Any, path: tuple[str, ...], number: int, world: LyingWorld) -> Any:
    if not path:
        return value
    inner = getattr(value, path[0])
    if len(path) > 1:
        return msgspec.structs.replace(value, **{path[0]: _with(inner, path[1:], number, world)})
    choices: list[Any] = [inner]
    match inner:
        case bool():
            choices = [not inner]
        case int():
            choices = [inner + 1, max(0, inner - 1), 0, 2 * inner, world.now]
        case str():
            choices = [*LEDGERS, *PARTIES, f"{A}-2"]
        case bytes():
            choices = [bytes(32), *world.orders, *world.known_preimages()]
    return msgspec.structs.replace(value, **{path[0]: choices[number % len(choices)]})
