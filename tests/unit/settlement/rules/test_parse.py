"""Files of rules that are refused, with the line and the field."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundation.errors import BadInput
from settlement.quantities import Units
from settlement.rules.errors import BadRules
from settlement.rules.facts import Facts, FactsError, Rate, decode_facts, encode_facts
from settlement.rules.parse import list_files, parse_rules
from tests.support.rules import HEAD, beneficiary, facts, rules

FIRST = HEAD.count("\n") + 1
"""The line at which a body begins."""

LIMIT = '[[limit]]\nid = "a"\nasset = "EUR"\namount_max = "1.00"\n'


@pytest.mark.parametrize(
    ("body", "line", "field"),
    [
        ('[[limit]]\nid = "a"\nasset = "EUR"\namount_max = "1.001"\n', 3, "limit[0].amount_max"),
        ('[[limit]]\nid = "a"\nasset = "EUR"\namount_max = 1.5\n', 3, "limit[0].amount_max"),
        ('[[limit]]\nid = "a"\nasset = "EUR"\namount_max = "-1"\n', 3, "limit[0].amount_max"),
        ('[[limit]]\nid = "a"\nasset = "GBP"\namount_max = "1"\n', 2, "limit[0].asset"),
        ('[[limit]]\nid = "a"\namount_max = "1"\n', 0, "limit[0].asset"),
        ('[[limit]]\nid = "a"\nasset = "EUR"\n', 0, "limit[0].amount_max"),
        (LIMIT + 'window = "week"\n', 4, "limit[0].window"),
        (LIMIT + 'verdict = "pass"\n', 4, "limit[0].verdict"),
        (LIMIT + 'per = "person"\n', 4, "limit[0].per"),
        (LIMIT + 'corridors = ["DE-CHN"]\n', 4, "limit[0].corridors"),
        (LIMIT + 'payers = ["Bank A"]\n', 4, "limit[0].payers"),
        (LIMIT + "amount_maxx = 1\n", 4, "limit[0].amount_maxx"),
        (LIMIT + "count_max = true\n", 4, "limit[0].count_max"),
        (LIMIT + 'window = "each"\ncount_max = 3\n', 5, "limit[0].count_max"),
        (LIMIT + "\n" + LIMIT, 6, "limit[1].id"),
        (LIMIT + '[[velocity]]\nid = "a"\ncount_max = 1\nwindow_seconds = 1\n', 5, "velocity[0].id"),
        ('[[velocity]]\nid = "v"\ncount_max = 0\nwindow_seconds = 1\n', 2, "velocity[0].count_max"),
        (
            '[[four_eyes]]\nid = "f"\nasset = "EUR"\nabove = "1"\napprovals = 1\nroles = ["x"]\n',
            4,
            "four_eyes[0].approvals",
        ),
        ('[[hours]]\nid = "h"\nzone = "Mars/Base"\ndays = ["mon"]\nperiods = ["07:00-08:00"]\n', 2, "hours[0].zone"),
        ('[[hours]]\nid = "h"\nzone = "UTC"\ndays = ["monday"]\nperiods = ["07:00-08:00"]\n', 3, "hours[0].days"),
        ('[[hours]]\nid = "h"\nzone = "UTC"\ndays = ["mon"]\nperiods = ["22:00-06:00"]\n', 4, "hours[0].periods"),
        ('[[hours]]\nid = "h"\nzone = "UTC"\ndays = ["mon"]\nperiods = ["7-8"]\n', 4, "hours[0].periods"),
        ('[[hours]]\nid = "h"\nzone = "UTC"\ndays = ["mon"]\nperiods = []\n', 4, "hours[0].periods"),
        (
            '[[hours]]\nid = "h"\nzone = "UTC"\ndays = ["mon"]\nperiods = ["07:00-08:00"]\nholidays = ["25.12."]\n',
            5,
            "hours[0].holidays",
        ),
        ('[pairs]\nallowed = ["EUR-CNY"]\n', 1, "pairs.allowed"),
        ('[[sanction]]\nid = "s"\n', 0, "sanction[0].names"),
        ('[[sanction]]\nid = "s"\nnames = ["!!"]\n', 2, "sanction[0].names"),
        ('[[sanction]]\nid = "s"\nbics = ["AB"]\n', 2, "sanction[0].bics"),
        ("[sanctions]\nnear_from = 100\n", 1, "sanctions.near_from"),
        ('[sanctions]\nlists = ["gone.toml"]\n', 1, "sanctions.lists"),
        ('[sanctions]\nunnamed = "ignore"\n', 1, "sanctions.unnamed"),
        ('[sanctions]\nnear = "pass"\n', 1, "sanctions.near"),
        ('[[person]]\nname = "ann"\nroles = ["x"]\nkey = "00"\n', 3, "person[0].key"),
        ('[[person]]\nname = "ann"\nroles = []\n', 2, "person[0].roles"),
        ('[[person]]\nname = "a"\nroles = ["x"]\n[[person]]\nname = "a"\nroles = ["y"]\n', 4, "person[1].name"),
        ("[limits]\n", 0, "limits"),
        ('text = """\n[[limit]]\n"""\n', 0, "text"),
    ],
)
def test_wrong_value_is_refused_with_its_line(body: str, line: int, field: str) -> None:
    """A value that is wrong, missing, unknown or impossible is refused with the field and the line it stands on."""
    with pytest.raises(BadRules) as refusal:
        # Before the first table, where a key of the file itself has to stand.
        parse_rules((body + HEAD if field == "text" else HEAD + body).encode())
    assert refusal.value.field == field
    assert refusal.value.line == line + (1 if field == "text" else FIRST)
    assert str(refusal.value).startswith(f"rules.toml, line {refusal.value.line}: {field}")


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (b'format = 1\nname = "x\n', 2),
        (b"format = 1\nname = \xff\n", 2),
        (b'format = 2\nname = "x"\nzone = "UTC"\n', 1),
        (b'name = "x"\n', 1),
    ],
)
def test_file_that_is_none_is_refused_with_its_line(raw: bytes, line: int) -> None:
    """Broken TOML, bytes that are no UTF-8, and another format are refused at their line."""
    with pytest.raises(BadRules) as refusal:
        parse_rules(raw)
    assert refusal.value.line == line


def test_line_is_found_behind_a_text_of_several_lines() -> None:
    """A text of several lines that looks like a table does not shift the line that is named."""
    person = '[[person]]\nname = """\n[[limit]]\nid = 3"""\nroles = ["x"]\n'
    body = person + '[[limit]]\nid = "UP"\nasset = "EUR"\namount_max = "1"\n'
    with pytest.raises(BadRules) as refusal:
        rules(body)
    assert (refusal.value.field, refusal.value.line) == ("limit[0].id", FIRST + 6)


def test_wrong_entry_of_a_list_names_the_list() -> None:
    """A refusal of an entry in a list beside the rules names that file and its line."""
    body = '[sanctions]\nlists = ["un.toml"]\n'
    with pytest.raises(BadRules) as refusal:
        rules(body, un='[[sanction]]\nid = "a"\nnames = ["A B"]\n[[sanction]]\nid = "b"\nname = ["typo"]\n')
    assert (refusal.value.file, refusal.value.line) == ("un.toml", 4)
    with pytest.raises(BadRules) as refusal:
        rules(body, un='[[sanctions]]\nid = "a"\n')
    assert (refusal.value.file, refusal.value.field) == ("un.toml", "sanctions")


def test_lists_lie_beside_the_rules() -> None:
    """A list's name cannot lead out of the folder of the rules."""
    assert list_files((HEAD + '[sanctions]\nlists = ["un.toml"]\n').encode()) == ("un.toml",)
    for name in ("../un.toml", "/etc/passwd", ".hidden"):
        with pytest.raises(BadRules):
            list_files((HEAD + f'[sanctions]\nlists = ["{name}"]\n').encode())


def test_version_is_the_content_of_all_files() -> None:
    """The same files have the same version, and any change to one of them another."""
    body = '[sanctions]\nlists = ["un.toml"]\n'
    one = rules(body, un='[[sanction]]\nid = "a"\nnames = ["A B"]\n')
    assert one.version == rules(body, un='[[sanction]]\nid = "a"\nnames = ["A B"]\n').version
    assert one.version != rules(body, un='[[sanction]]\nid = "a"\nnames = ["A C"]\n').version
    assert one.version != rules(body + "\n", un='[[sanction]]\nid = "a"\nnames = ["A B"]\n').version


def test_example_of_the_documentation_is_good() -> None:
    """The file of rules that docs/rules.md shows is accepted as it stands."""
    text = (Path(__file__).parents[4] / "docs" / "rules.md").read_text()
    example = text.split("```toml\n")[1].split("```")[0]
    lists = dict.fromkeys(list_files(example.encode()), b'[[sanction]]\nid = "un-1"\nnames = ["A Name"]\n')
    assert parse_rules(example.encode(), "rules.toml", lists).limits


@pytest.mark.parametrize(
    "other",
    [{"payment_id": b"1"}, {"amount": Units(0)}, {"amount": Units(-1)}, {"amount": Units(2**64)}, {"origin": "de"}],
)
def test_facts_out_of_range_are_refused(other: dict[str, object]) -> None:
    """A payment of nothing, less than nothing or too much, and a country that is none, are refused before any rule."""
    with pytest.raises(BadInput):
        facts(**other)


def test_facts_survive_their_encoding_and_bad_ones_are_refused() -> None:
    """Facts are read back as they were; what is no such JSON is refused."""
    payment = facts(subjects=(beneficiary("Ann", countries=("DE",)),))
    assert decode_facts(encode_facts(payment)) == payment
    assert isinstance(decode_facts(encode_facts(payment)), Facts)
    for raw in (b"", b"{}", encode_facts(payment).replace(b'"DE"', b'"de"')):
        with pytest.raises(FactsError):
            decode_facts(raw)
    with pytest.raises(BadInput):
        Rate(0, 1)
