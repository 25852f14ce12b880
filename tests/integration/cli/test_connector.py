"""A connector as a person runs it, asks it, and pays through it: processes and commands."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import structlog

from infra.ports import free_ports
from tests.support.command import InProcess
from tests.support.forking import forking_causeway
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.integration

HUB = """
[connector]
address = "test.hub"
database = "sqlite:///hub.db"
[listen]
btp = "127.0.0.1:{btp}"
http = "127.0.0.1:{http}"
spsp = "127.0.0.1:{spsp}"
admin = "127.0.0.1:{admin}"
admin_token_file = "admin.token"
[rates]
prices = {{ EUR = "1.10", USD = "1" }}
spread_bp = 20
[local]
asset = "USD"
scale = 4
payees = ["shop"]
name = "The Shop"
[[accounts]]
id = "alice"
asset = "EUR"
scale = 2
relation = "child"
floor = "-100.00"
btp = {{ token = "secret-of-alice" }}
[[accounts]]
id = "bob"
asset = "EUR"
scale = 2
relation = "child"
floor = "-100.00"
max_packet = "0.50"
http = {{ token = "secret-of-bob" }}
"""


@dataclass(frozen=True)
class Town:
    """A running connector. Fields: folder; causeway (the command); pointer (of its shop); admin (URL)."""

    folder: Path
    causeway: InProcess
    pointer: str
    admin: str

    def pay(self, who: str, *arguments: str, status: int = 0) -> Any:
        """Pay the shop, or fail with `status`; answers the document that is printed, or the error's."""
        command = ("pay", self.pointer, *arguments, "--insecure", "--connector", self.folder / f"{who}.toml", "--json")
        done = self.causeway.run(*command, status=status)
        if not status:
            return json.loads(done.stdout)
        assert not done.stdout
        return json.loads(done.stderr[done.stderr.index("{") :])["error"]

    def balance(self, account: str) -> int:
        """As the command tells it."""
        accounts = self.causeway.json("accounts", "--config", self.folder / "hub.toml")
        return int(next(each["balance"] for each in accounts if each["id"] == account))


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A connector in a process of its own, with a shop and two children, over BTP and HTTP."""
    folder = tmp_path_factory.mktemp("town")
    btp, http, spsp, admin = free_ports(4)
    (folder / "hub.toml").write_text(HUB.format(btp=btp, http=http, spsp=spsp, admin=admin))
    (folder / "admin.token").write_text("the token of operators\n")
    (folder / "alice.toml").write_text(f'url = "btp+ws://127.0.0.1:{btp}"\ntoken = "secret-of-alice"\n')
    (folder / "bob.toml").write_text(f'url = "http://127.0.0.1:{http}/ilp"\ntoken = "secret-of-bob"\n')
    command = [sys.executable, "-m", "cli.main", "connector", "run", "--config", str(folder / "hub.toml")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ, "CAUSEWAY_LOG_LEVEL": "info"})
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if b"connector.started" in line:
                break
        yield Town(folder, InProcess(folder, {}), f"$127.0.0.1:{spsp}/shop", f"http://127.0.0.1:{admin}")
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
        process.stderr.close()


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    """A command sets the log up for its own process; tests share one."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.mark.parametrize(("who", "packets"), [("alice", 1), ("bob", 20)])
def test_a_payment_arrives_and_both_accounts_show_it(town: Town, who: str, packets: int) -> None:
    """Over BTP and HTTP: 10.00 EUR less the spread arrive as USD, in packets as large as the account allows."""
    before, shop = town.balance(who), town.balance("local")
    paid = town.pay(who, "10.00")
    assert (paid["sent"], paid["delivered"], paid["peer_asset"]) == ("10.00", "10.9780", {"code": "USD", "scale": 4})
    assert paid["packets"] >= packets
    assert town.balance(who) - before == -1_000
    assert town.balance("local") - shop == 109_780


def test_an_amount_is_delivered_for_no_more_than_allowed(town: Town) -> None:
    """With --deliver the least that delivers the amount is sent; too low a limit moves nothing."""
    paid = town.pay("alice", "5.00", "--deliver", "--max-source", "5.00")
    assert paid["sent"] == "4.56"
    assert 50_000 <= int(paid["delivered_units"]) < 50_000 + 110
    before = town.balance("alice")
    refused = town.pay("alice", "5.00", "--deliver", "--max-source", "4.50", status=5)
    assert (refused["type"], refused["fields"]["sent"]) == ("PaymentPaused", "0")
    assert town.balance("alice") == before


def test_a_payment_that_stops_says_how_far_it_came(town: Town) -> None:
    """Where the account's floor ends a payment, the error has what was sent and delivered, and the shop has it."""
    before, shop = town.balance("bob"), town.balance("local")
    stopped = town.pay("bob", "500.00", "--timeout", "5", status=5)
    assert stopped["type"] == "PaymentPaused"
    assert 0 < int(stopped["fields"]["sent"]) == before - town.balance("bob")
    assert int(stopped["fields"]["delivered"]) == town.balance("local") - shop


def test_unknown_payees_and_wrong_tokens_are_told_apart(town: Town) -> None:
    """Nobody at a pointer is final; a connector that does not let us in may do so later."""
    town.causeway.run(
        *("pay", town.pointer + "s", "1", "--insecure", "--connector", town.folder / "alice.toml"), status=4
    )
    wrong = town.folder / "wrong.toml"
    wrong.write_text((town.folder / "bob.toml").read_text().replace("of-bob", "of-mallory"))
    town.causeway.run(*("pay", town.pointer, "1", "--insecure", "--connector", wrong), status=5)


def test_operators_see_routes_rates_and_statements(town: Town) -> None:
    """The other commands show what the connector knows, by its configuration or by URL and token."""
    config = ("--config", town.folder / "hub.toml")
    by_url = ("--url", town.admin, "--token-file", town.folder / "admin.token")
    assert town.causeway.json("routes", "test.hub.bob.x", *config) == [{"prefix": "test.hub.bob", "account": "bob"}]
    assert "(this connector)" in town.causeway.run("routes", *by_url).stdout
    town.causeway.run("routes", "g.elsewhere", *config, status=6)
    assert "1.1" in town.causeway.run("rates", *by_url).stdout
    assert town.causeway.json("statement", "alice", *config)["account"]["id"] == "alice"
    assert "no settlements" in town.causeway.run("statement", "alice", *by_url).stdout
    town.causeway.run("statement", "nobody", *config, status=6)
    (town.folder / "other.token").write_text("another token\n")
    refused = town.causeway.run("rates", "--url", town.admin, "--token-file", town.folder / "other.token", status=4)
    assert "admin_token" in refused.stderr
    headers = {"Authorization": "Bearer the token of operators"}
    with urlopen(Request(f"{town.admin}/metrics", headers=headers)) as answer:  # noqa: S310 - our own
        received = re.search(rb'received_units_total{payee="shop"} ([0-9.e+]+)', answer.read())
    assert received is not None
    assert float(received.group(1)) == town.balance("local"), "nothing left the shop's account"
    checked = town.causeway.json("connector", "check", *config)
    assert [each["id"] for each in checked["accounts"]] == ["alice", "bob", "local"]


def test_example_of_the_page_runs_as_it_is_written(tmp_path: Path) -> None:
    """docs/connector.md: two connectors, a payment from one's customer to the other, and the balances it names."""
    page = (Path(__file__).parents[3] / "docs" / "connector.md").read_text()
    script = re.search(r"```sh\n(.*?)```", page, re.DOTALL)
    assert script is not None
    ports = dict(zip(("7768", "7780", "7781", "7790"), map(str, free_ports(4)), strict=True))

    def moved(text: str) -> str:
        return re.sub(r"\b(7768|7780|7781|7790)\b", lambda match: ports[match.group()], text)

    for name, content in re.findall(r"```toml\n# (\S+)\n(.*?)```", page, re.DOTALL):
        (tmp_path / name).write_text(moved(content))
    path = os.pathsep.join((str(forking_causeway().parent), os.environ["PATH"]))
    command = ["bash", "-euc", moved(script.group(1)) + "wait $HUB; wait $BANK"]
    env = {**os.environ, "PATH": path, "CAUSEWAY_HOME": str(tmp_path)}
    done = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=2 * PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = re.sub(r" +", " ", done.stdout)
    for line in (
        "sent 10.00 EUR",
        "delivered 10.8213 USD",
        "alice child down -10.00 EUR",
        "bank peer up 10.8213 USD",
        "hub peer up -10.8213 USD",
        "local local up 10.8213 USD",
        "0.0000 USD paid in, 10.8213 USD",
    ):
        assert line in said, line
        assert line.split()[-2].lstrip("-") in page
