"""Bitcoin in and out as a person does it, with commands alone, on a small development network."""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from adapters.native.eip712 import account_of_secret
from cli.exits import ExitCode
from tests.support.command import Causeway, InProcess
from tests.support.patience import PATIENCE_S

SMALL = ("--storemen", "3", "--threshold", "2", "--vouchers", "1", "--evm-chain", "0")
PAYEE = "bcrt1q6z64a43mjgkcq0ul2znwneq3spghrlau9slefp"


@dataclass(frozen=True)
class Person:
    """Somebody with an account, a reclaim key and a receipt. `causeway` finds the network and the account by itself."""

    causeway: Causeway
    account: str
    folder: Path

    @property
    def receipt(self) -> Path:
        return self.folder / "receipt.json"

    def deposits(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.causeway.json("deposit", "status", self.receipt)["deposits"]
        return found

    def until_listed(self, transfer_id: str) -> None:
        """The node may learn of a transfer after the chains show it, and after other nodes."""

        def listed() -> bool:
            return any(one["id"] == transfer_id for one in self.causeway.json("transfers"))

        self.until(listed, "the node knows the transfer")

    def until(self, look: Callable[[], Any], what: str) -> Any:
        """Look with a command until there is something."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            found = look()
            if found:
                return found
            time.sleep(0.2)  # nothing can be awaited: a command ends at once
        raise AssertionError(f"{what}: not within {PATIENCE_S:.0f} s")


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    """A person beside a running network."""
    folder = tmp_path_factory.mktemp("person")
    secret = secrets.token_bytes(32)
    (folder / "account.key").write_text(secret.hex())
    causeway = InProcess(folder / "home", {"CAUSEWAY_ACCOUNT_KEY_FILE": str(folder / "account.key")})
    account = "0x" + account_of_secret(secret).hex()
    try:
        causeway.run("dev", "up", *SMALL)
        causeway.run("dev", "faucet", account, "10")
        yield Person(causeway, account, folder)
    finally:
        causeway.run("dev", "down")


def test_bitcoin_goes_in_and_out(person: Person) -> None:
    """A deposit is paid, minted and swept; part of it is withdrawn, watched to its end; the reserves hold."""
    causeway = person.causeway
    offer = causeway.json(
        *("deposit", "address", "--recipient", person.account),
        *("--new-reclaim-key", person.folder / "reclaim.key", "--receipt", person.receipt),
    )
    assert offer["announced_in"]
    assert causeway.json("deposit", "announce", person.receipt)["announced_in"] is None, "once is enough"
    assert person.deposits() == []
    paid = causeway.json("dev", "faucet", offer["address"], "0.5")["txid"]
    causeway.run("dev", "mine")
    (deposit,) = person.until(lambda: [d for d in person.deposits() if d["hub"] == "minted"], "the deposit is minted")
    assert deposit["outpoint"].startswith(paid)
    person.until_listed(deposit["id"])
    minted = 50_000_000 - offer["fee_sat"]
    assert causeway.json("token", "balance")["units"] == minted

    journey = person.until(lambda: _mined_until_swept(causeway, paid), "the coin is in the vault")
    assert (journey["id"], journey["kind"]) == (deposit["id"], "deposit")
    assert journey["reclaim"] is None, "the coin is the vault's"
    assert {"deposit", "mint", "sweep"} <= {ref["role"] for ref in journey["transactions"]}

    _withdrawn(person, "0.1")
    assert causeway.json("token", "balance")["units"] == minted - 10_000_000
    # The node learns of the settlement when it is final; before that it agrees with the chains on the state before.
    told = person.until(lambda: _supply(causeway, minted - 10_000_000), "the node knows that the tokens are burnt")
    assert told["covered"]
    assert told["database"] | {"native_block": 0} == told["chains"] | {"native_block": 0}


def _mined_until_swept(causeway: Causeway, transfer: str) -> dict[str, Any] | None:
    """The journey, once the sweep is final; until then each look mines a block, for the sweep may come any moment."""
    journey: dict[str, Any] = causeway.json("transfers", "show", transfer)
    if journey["stage"] != "swept":
        causeway.run("dev", "mine")
        return None
    return journey


def _supply(causeway: Causeway, units: int) -> dict[str, Any] | None:
    """The proof of reserves, checked against the chains at each look, once the supply is `units`."""
    told: dict[str, Any] = causeway.json("reserves", "--verify")
    assert told["differences"] == []
    return told if told["chains"]["supply_sat"] == units else None


def _withdrawn(person: Person, amount: str) -> None:
    """Withdraw with --wait; the payout's block is mined once it is broadcast."""
    causeway = person.causeway
    arguments = ["withdraw", amount, "--to", PAYEE, "--wait", "--timeout", f"{PATIENCE_S:.0f}"]
    env = {"CAUSEWAY_HOME": str(causeway.home), "PATH": "/usr/bin:/bin", **causeway.env}
    command = [sys.executable, "-m", "cli.main", *arguments]
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as waiting:
        assert waiting.stderr is not None
        told = []
        for line in waiting.stderr:
            told.append(line)
            if "broadcast" in line:
                causeway.run("dev", "mine")
        assert waiting.wait(PATIENCE_S) == 0, told
    order = ["requested in", "is final", "reserved on", "is broadcast", "paid in block", "settled"]
    seen = [next(i for i, line in enumerate(told) if word in line) for word in order]
    assert seen == sorted(seen), told


def test_a_withdrawal_is_raised_and_cancelled(person: Person) -> None:
    """A limit that is too low keeps it requested, which its journey says; it may be raised, and taken back once."""
    causeway = person.causeway
    asked = causeway.json("withdraw", "0.01", "--to", PAYEE, "--max-fee", "3")
    id_ = asked["id"][:12]
    person.until_listed(asked["id"])
    journey = causeway.json("transfers", "show", id_)
    assert journey["move"] == "the withdrawal's owner"
    assert journey["fee"]["enough"] is False
    causeway.run("withdraw", "raise-fee", id_, "--max-fee", "4")
    causeway.run("withdraw", "raise-fee", id_, "--max-fee", "4", status=ExitCode.BAD_INPUT)
    before = causeway.json("token", "balance")["units"]
    causeway.run("withdraw", "cancel", id_)
    assert causeway.json("token", "balance")["units"] == before + 1_000_000
    causeway.run("withdraw", "cancel", id_, status=ExitCode.REFUSED)


def test_a_deposit_below_the_minimum_is_told_from_the_receipt(person: Person) -> None:
    """The storemen bar it and send it back; meanwhile the journey has the depositor's own way back."""
    causeway, receipt = person.causeway, person.folder / "small.json"
    offer = causeway.json(
        *("deposit", "address", "--recipient", person.account, "--receipt", receipt),
        *("--new-reclaim-key", person.folder / "small.key"),
    )
    paid = causeway.json("dev", "faucet", offer["address"], "0.00005")["txid"]
    causeway.run("dev", "mine")

    def barred() -> Any:
        return [d for d in causeway.json("deposit", "status", receipt)["deposits"] if d["hub"] == "returned"]

    (deposit,) = person.until(barred, "the deposit is barred")
    person.until_listed(deposit["id"])
    journey = causeway.json("transfers", "show", paid)
    assert journey["reclaim"]["valid_from"] == deposit["reclaim_from"]
    assert journey["reclaim"]["psbt"]
