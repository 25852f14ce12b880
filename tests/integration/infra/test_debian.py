"""Packages of Debian's suite sid, unpacked into a folder. Needs a Debian machine with a mirror in reach."""

from __future__ import annotations

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra import debian
from infra.errors import DownloadFailed

PACKAGE, PROGRAM = "hello", "usr/bin/hello"

pytestmark = pytest.mark.skipif(shutil.which("apt-get") is None, reason="no apt here")


def test_two_runs_at_once_unpack_a_package_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two runs that need a package, one fetches it and the other waits; the program runs with its own libraries."""
    fetched = []
    original = debian._fetched_from

    def counting(mirror: str, package: str, work: Path) -> Path:
        fetched.append(package)
        return original(mirror, package, work)

    monkeypatch.setattr(debian, "_fetched_from", counting)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: debian.unpacked(PACKAGE, PROGRAM, tmp_path), range(2))
    assert (first, fetched) == (second, [PACKAGE])
    said = subprocess.run([*debian.loader_command(first, PROGRAM)], capture_output=True, text=True, check=True)
    assert said.stdout == "Hello, world!\n"
    assert {path.name for path in tmp_path.iterdir()} == {PACKAGE, f"{PACKAGE}.lock"}


def test_leftover_of_a_killed_run_is_removed_and_a_failure_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no mirror serves, the error says what apt said, and the cache holds no part of the package."""
    monkeypatch.setattr(debian, "mirrors", lambda: (f"file:{tmp_path}/nowhere",))
    leftover = tmp_path / f".{PACKAGE}.killed"
    leftover.mkdir()
    with pytest.raises(DownloadFailed) as failure:
        debian.unpacked(PACKAGE, PROGRAM, tmp_path)
    assert failure.value.what == PACKAGE
    assert "Release" in failure.value.problem
    assert [path.name for path in tmp_path.iterdir()] == [f"{PACKAGE}.lock"]


def test_package_without_the_program_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree in which the program is missing, or does not start, never gets into the cache."""

    def broken(_package: str, work: Path) -> Path:
        (work / "tree").mkdir()
        return work / "tree"

    monkeypatch.setattr(debian, "_fetched", broken)
    with pytest.raises(DownloadFailed) as failure:
        debian.unpacked(PACKAGE, PROGRAM, tmp_path)
    assert PROGRAM in failure.value.problem
    assert not (tmp_path / PACKAGE).exists()
