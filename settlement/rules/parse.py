"""A TOML file becomes rules, or is refused with the line and the field that are wrong. See docs/rules.md."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import date
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from foundation.errors import BadInput
from settlement.quantities import Asset, Scale, party_id, tagged_hash
from settlement.rules.errors import BadRules
from settlement.rules.facts import is_country
from settlement.rules.locate import line_of, line_of_parser
from settlement.rules.model import (
    FourEyes,
    Hours,
    Limit,
    Pairs,
    Per,
    Person,
    Review,
    Rules,
    Sanctions,
    Scope,
    Velocity,
    Verdict,
    Window,
)
from settlement.rules.names import NameIndex, identifier, words
from settlement.rules.table import Table

FORMAT: Final = 1
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MINUTES_A_DAY: Final = 24 * 60
_WINDOW_SECONDS_MAX: Final = 31 * 86_400
_NO_LISTS: Final[Mapping[str, bytes]] = {}


def parse_rules(raw: bytes, file: str = "rules.toml", lists: Mapping[str, bytes] = _NO_LISTS) -> Rules:
    """The rules of a file, and of the sanctions lists that it names.

    Args:
        raw: the file's content, UTF-8.
        file: its name, for refusals.
        lists: the content of each file that `sanctions.lists` names.

    Raises:
        BadRules: it cannot be read, or a value is wrong or unknown; names the line and the field.
    """
    document = _loaded(raw, file)
    try:
        return _rules(document, raw, lists)
    except BadInput as error:
        if isinstance(error, BadRules):
            raise
        line = line_of(raw.decode(), _path(error.field))
        raise BadRules(file, line, error.field, error.problem, error.cure) from error


def list_files(raw: bytes, file: str = "rules.toml") -> tuple[str, ...]:
    """The names of the sanctions lists that a file of rules asks for; they lie in its folder.

    Raises:
        BadRules: the file cannot be read, or a name leads elsewhere.
    """
    sanctions = _loaded(raw, file).get("sanctions", {})
    names = sanctions.get("lists", []) if isinstance(sanctions, dict) else []
    if not isinstance(names, list):
        names = [names]
    for name in names:
        if not isinstance(name, str) or "/" in name or "\\" in name or name.startswith("."):
            line = line_of(raw.decode(), ("sanctions", "lists"))
            raise BadRules(file, line, "sanctions.lists", f"{name!r}", "names of files in the same folder")
    return tuple(names)


def _loaded(raw: bytes, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(raw.decode())
    except UnicodeDecodeError as error:
        raise BadRules(file, raw[: error.start].count(b"\n") + 1, "file", "is not UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise BadRules(file, line_of_parser(str(error)), "file", f"is no TOML: {error}") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, a thousand brackets
        raise BadRules(file, 1, "file", f"cannot be read: {error}") from error


def _path(field: str) -> list[str | int]:
    """`limit[2].amount_max` → ["limit", 2, "amount_max"]."""
    path: list[str | int] = []
    for part in field.split("."):
        name, _, number = part.partition("[")
        path.append(name)
        if number.removesuffix("]").isdigit():
            path.append(int(number.removesuffix("]")))
    return path


def _rules(document: dict[str, Any], raw: bytes, lists: Mapping[str, bytes]) -> Rules:
    top = Table(document, "")
    if (found := top.integer("format")) != FORMAT:
        raise BadInput("format", f"{found}", f"this release reads format {FORMAT}")
    assets = {code: _asset(code, scale) for code, scale in top.table("assets").numbers().items()}
    persons: dict[str, Person] = {}
    for table in top.tables("person"):
        person = _person(table)
        if person.name in persons:
            raise BadInput(table.at("name"), f"{person.name!r} is taken", "one entry a person, with all roles")
        persons[person.name] = person
    rules = Rules(
        version=tagged_hash(
            "rules/version", raw, *(part for name in sorted(lists) for part in (name.encode(), lists[name]))
        ),
        name=top.text("name"),
        zone=_zone(top),
        limits=tuple(_limit(table, assets) for table in top.tables("limit")),
        velocities=tuple(map(_velocity, top.tables("velocity"))),
        four_eyes=tuple(_four_eyes(table, assets, persons) for table in top.tables("four_eyes")),
        hours=tuple(map(_hours, top.tables("hours"))),
        pairs=_pairs(top.table("pairs")) if top.has("pairs") else None,
        sanctions=_sanctions(top, lists),
        persons=persons,
        review=_review(top.table("review"), persons) if top.has("review") else Review(0, frozenset()),
    )
    top.finish()
    _check_ids(document)
    return rules


def _check_ids(document: dict[str, Any]) -> None:
    """Each rule has an id of its own: decisions and clearances name rules by it."""
    seen: set[str] = {"pairs", "sanctions"}
    for kind in ("limit", "velocity", "four_eyes", "hours"):
        for number, table in enumerate(document.get(kind, [])):
            if table["id"] in seen:
                raise BadInput(f"{kind}[{number}].id", f"{table['id']!r} is taken", "each rule has an id of its own")
            seen.add(table["id"])


def _asset(code: str, scale: int) -> Asset:
    try:
        return Asset(code, Scale(scale))
    except BadInput as error:
        raise BadInput(f"assets.{code}", error.problem, error.cure) from error


def _known_asset(table: Table, assets: Mapping[str, Asset], key: str = "asset") -> Asset:
    code = table.text(key)
    if code not in assets:
        raise BadInput(table.at(key), f"{code!r} is not in [assets]", "name each asset with its decimals there")
    return assets[code]


def _scope(table: Table) -> Scope:
    corridors = table.texts("corridors")
    for corridor in corridors:
        ends = corridor.split("-")
        if len(ends) != 2 or not all(end == "*" or is_country(end) for end in ends):
            raise BadInput(
                table.at("corridors"), f"{corridor!r} is no corridor", "two countries, such as DE-CN or *-CN"
            )
    parties = {key: frozenset(party_id(t, table.at(key)) for t in table.texts(key)) for key in ("payers", "payees")}
    return Scope(frozenset(parties["payers"]), frozenset(parties["payees"]), frozenset(corridors))


def _verdict(table: Table, key: str, default: Verdict, *, passes: bool = False) -> Verdict:
    """A rule's verdict; `passes`: whether it may also be that nothing is said against the payment."""
    choices = {"refer": Verdict.REFER, "block": Verdict.BLOCK} | ({"pass": Verdict.PASS} if passes else {})
    return choices[table.choice(key, tuple(choices), default.name.lower())]


def _limit(table: Table, assets: Mapping[str, Asset]) -> Limit:
    asset = _known_asset(table, assets) if table.has("asset") else None
    amount_max = None
    if table.has("amount_max"):
        if asset is None:
            raise BadInput(table.at("asset"), "is missing", "a limit on amounts says in which asset")
        amount_max = int(asset.units(table.text("amount_max"), table.at("amount_max")))
    count_max = table.integer("count_max", least=0) if table.has("count_max") else None
    if amount_max is None and count_max is None:
        raise BadInput(table.at("amount_max"), "is missing, and so is count_max", "a limit has one of them or both")
    window = Window(table.choice("window", tuple(w.value for w in Window), Window.DAY.value))
    if window is Window.EACH and count_max is not None:
        raise BadInput(table.at("count_max"), "means nothing for one payment", "choose the window day or month")
    limit = Limit(
        rule_id=table.identity(),
        scope=_scope(table),
        per=Per(table.choice("per", tuple(p.value for p in Per), Per.PAYER.value)),
        window=window,
        asset=asset,
        amount_max=amount_max,
        count_max=count_max,
        verdict=_verdict(table, "verdict", Verdict.BLOCK),
    )
    table.finish()
    return limit


def _velocity(table: Table) -> Velocity:
    velocity = Velocity(
        rule_id=table.identity(),
        scope=_scope(table),
        per=Per(table.choice("per", tuple(p.value for p in Per), Per.PAYER.value)),
        count_max=table.integer("count_max", least=1, most=100_000),
        window_ms=table.integer("window_seconds", least=1, most=_WINDOW_SECONDS_MAX) * 1000,
        verdict=_verdict(table, "verdict", Verdict.REFER),
    )
    table.finish()
    return velocity


def _four_eyes(table: Table, assets: Mapping[str, Asset], persons: Mapping[str, Person]) -> FourEyes:
    asset = _known_asset(table, assets)
    rule = FourEyes(
        rule_id=table.identity(),
        scope=_scope(table),
        asset=asset,
        above=int(asset.units(table.text("above"), table.at("above"))),
        approvals=table.integer("approvals", least=1, most=20),
        roles=frozenset(table.texts("roles")),
    )
    _check_able(table, rule.approvals, rule.roles, persons)
    table.finish()
    return rule


def _check_able(table: Table, approvals: int, roles: frozenset[str], persons: Mapping[str, Person]) -> None:
    able = sum(1 for person in persons.values() if person.roles & roles)
    if able < approvals:
        raise BadInput(table.at("approvals"), f"{approvals} are asked of {able} persons", "name more in [[person]]")


def _hours(table: Table) -> Hours:
    days = table.texts("days")
    for day in days:
        if day not in _DAYS:
            raise BadInput(table.at("days"), f"{day!r} is no day", f"one of {', '.join(_DAYS)}")
    periods = tuple(_period(text, table.at("periods")) for text in table.texts("periods"))
    if not periods or not days:
        raise BadInput(table.at("periods" if days else "days"), "is empty", "nothing could ever be paid")
    rule = Hours(
        rule_id=table.identity(),
        scope=_scope(table),
        zone=_zone(table),
        days=frozenset(map(_DAYS.index, days)),
        periods=periods,
        holidays=frozenset(_date(value, table.at("holidays")) for value in table.items("holidays")),
        verdict=_verdict(table, "verdict", Verdict.REFER),
    )
    table.finish()
    return rule


def _period(text: str, field: str) -> tuple[int, int]:
    """Minutes of the day of `07:00-18:00`; the end may be 24:00."""
    start, _, end = text.partition("-")
    minutes = []
    for clock in (start, end):
        hour, colon, minute = clock.strip().partition(":")
        if not (colon and len(hour) == len(minute) == 2 and (hour + minute).isdecimal() and (hour + minute).isascii()):
            raise BadInput(field, f"{text!r} is no period", "such as 07:00-18:00")
        if int(minute) > 59:
            raise BadInput(field, f"{text!r} is no period", "minutes are below 60")
        minutes.append(int(hour) * 60 + int(minute))
    if not minutes[0] < minutes[1] <= _MINUTES_A_DAY:
        raise BadInput(field, f"{text!r} does not end after it begins", "write two periods across midnight")
    return minutes[0], minutes[1]


def _date(value: object, field: str) -> date:
    if type(value) is date:
        return value
    try:
        return date.fromisoformat(value) if isinstance(value, str) else date.fromisoformat("")
    except ValueError:
        raise BadInput(field, f"{value!r} is no date", "such as 2026-12-25") from None


def _zone(table: Table) -> ZoneInfo:
    name = table.text("zone")
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadInput(table.at("zone"), f"{name!r} is no time zone", "such as Europe/Berlin") from None


def _pairs(table: Table) -> Pairs:
    allowed = set()
    for text in table.texts("allowed"):
        source, arrow, target = (part.strip() for part in text.partition("->"))
        if not (source and arrow and target):
            raise BadInput(table.at("allowed"), f"{text!r} is no pair", "such as EUR->CNY")
        allowed.add((source, target))
    pairs = Pairs("pairs", frozenset(allowed), _verdict(table, "verdict", Verdict.BLOCK))
    table.finish()
    return pairs


def _person(table: Table) -> Person:
    key = None
    if table.has("key"):
        text = table.text("key")
        try:
            key = bytes.fromhex(text)
        except ValueError:
            key = b""
        if len(key) != 32:
            raise BadInput(table.at("key"), "is no Ed25519 key", "64 hexadecimal digits")
    roles = table.texts("roles")
    if not roles:
        raise BadInput(table.at("roles"), "is empty", "name what the person may approve as")
    person = Person(table.text("name"), frozenset(roles), key)
    table.finish()
    return person


def _review(table: Table, persons: Mapping[str, Person]) -> Review:
    review = Review(table.integer("approvals", least=1, most=20), frozenset(table.texts("roles")))
    _check_able(table, review.approvals, review.roles, persons)
    table.finish()
    return review


def _sanctions(top: Table, lists: Mapping[str, bytes]) -> Sanctions | None:
    if not top.has("sanctions") and not top.has("sanction"):
        return None
    table = top.table("sanctions")
    near_from = table.integer("near_from", least=600, most=1_000, default=850)
    near = _verdict(table, "near", Verdict.REFER)
    unnamed = _verdict(table, "unnamed", Verdict.REFER, passes=True)
    nobody = _verdict(table, "nobody", Verdict.PASS, passes=True)
    countries = {_country(code, table.at("countries")): f"country-{code}" for code in table.texts("countries")}
    entries = [(entry, "") for entry in top.tables("sanction")]
    for name in table.texts("lists"):
        if name not in lists:
            raise BadInput(table.at("lists"), f"{name!r} was not found", "put it beside the rules")
        listed = Table(_loaded(lists[name], name), "")
        entries += [(entry, name) for entry in listed.tables("sanction")]
        _finish_list(listed, lists[name], name)
    table.finish()
    found = _Listed()
    for entry, file in entries:
        try:
            found.add(entry)
        except BadInput as error:
            if not file:
                raise
            line = line_of(lists[file].decode(), _path(error.field))
            raise BadRules(file, line, error.field, error.problem, error.cure) from error
    names = NameIndex(found.names)
    return Sanctions(names, found.accounts, found.bics, countries, near_from, near, unnamed, nobody)


def _finish_list(listed: Table, raw: bytes, file: str) -> None:
    try:
        listed.finish()
    except BadInput as error:
        raise BadRules(
            file, line_of(raw.decode(), _path(error.field)), error.field, error.problem, error.cure
        ) from error


class _Listed:
    """What the entries of sanctions lists name."""

    def __init__(self) -> None:
        self.names: list[tuple[str, str]] = []
        self.accounts: dict[str, str] = {}
        self.bics: dict[str, str] = {}

    def add(self, entry: Table) -> None:
        entry_id = entry.identity()
        names, accounts, bics = (entry.texts(key) for key in ("names", "accounts", "bics"))
        if not names and not accounts and not bics:
            raise BadInput(entry.at("names"), "is missing", "an entry has names, accounts or bics")
        for name in names:
            if not words(name):
                raise BadInput(entry.at("names"), f"{name!r} has no letter", "write the name")
            self.names.append((entry_id, name))
        self.accounts.update((identifier(account), entry_id) for account in accounts)
        for bic in bics:
            if len(identifier(bic)) not in (8, 11):
                raise BadInput(entry.at("bics"), f"{bic!r} is no BIC", "8 or 11 characters")
            self.bics[identifier(bic)[:8]] = entry_id  # the branch makes no difference
        entry.finish()


def _country(code: str, field: str) -> str:
    if not is_country(code):
        raise BadInput(field, f"{code!r} is no country", "two capital letters, as in ISO 3166-1")
    return code
