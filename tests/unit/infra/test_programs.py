"""Finding programs, and the command lines they are run with."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from infra import programs
from infra.errors import ToolMissing
from infra.processes import User
from infra.programs import Program, Way


def _executable(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_program_on_path_is_taken_before_all_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bitcoind on PATH is used, and nothing is downloaded."""
    mine = _executable(tmp_path / "bitcoind")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert programs.find_bitcoind() == Program("bitcoind", Way.PATH, (str(mine),))


def test_docker_comes_second_where_an_engine_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the program on PATH, the pinned image is used where `docker info` answers."""
    _executable(tmp_path / "docker", "#!/bin/sh\necho 28.0\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    programs.docker_engine.cache_clear()
    try:
        found = programs.find_bitcoind()
    finally:
        programs.docker_engine.cache_clear()
    assert (found.way, found.image) == (Way.DOCKER, programs.BITCOIN_IMAGE)


def test_missing_program_names_each_way_and_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing serves, the error lists the three ways with the reason of each, and what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(programs, "CHECKOUT", tmp_path)
    programs.docker_engine.cache_clear()
    try:
        with pytest.raises(ToolMissing) as refusal:
            programs.find_anvil()
    finally:
        programs.docker_engine.cache_clear()
    assert refusal.value.tool == "anvil"
    assert [line.split(":")[0] for line in refusal.value.tried] == ["PATH", "Docker", "package"]
    assert "npm" in refusal.value.cure


def test_client_without_an_engine_is_no_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A docker client whose engine does not answer is passed over, with the reason."""
    _executable(tmp_path / "docker", "#!/bin/sh\nexit 1\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    programs.docker_engine.cache_clear()
    try:
        assert programs.docker_engine() == "no Docker engine answers"
    finally:
        programs.docker_engine.cache_clear()


def test_docker_without_its_image_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the engine answers but the image cannot be pulled, the error says so and the next way is tried."""
    _executable(tmp_path / "docker", '#!/bin/sh\n[ "$1" = info ] && echo 28.0 && exit 0\necho no route >&2; exit 1\n')
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(programs, "CHECKOUT", tmp_path)
    programs.docker_engine.cache_clear()
    try:
        with pytest.raises(ToolMissing) as refusal:
            programs.find_anvil()
    finally:
        programs.docker_engine.cache_clear()
    assert "no route" in refusal.value.tried[1]


def test_container_shares_network_folder_and_user() -> None:
    """In Docker the program sees the same loopback, the same paths and the same user as without."""
    program = Program("postgres", Way.DOCKER, ("postgres",), "postgres:16")
    line = program.argv(["-D", "/data/x"], folder=Path("/data"), container="c1", leashed=True, user=User(65534, 65534))
    text = " ".join(line)
    assert "--network host" in text
    assert "--user 65534:65534" in text
    assert "--volume /data:/data" in text
    assert "--name c1" in text
    assert line[-3:] == ("postgres", "-D", "/data/x")


def test_leash_ends_the_program_when_standard_input_closes(tmp_path: Path) -> None:
    """The script that runs inside a container ends its program once the docker client's pipe is gone."""
    ready = tmp_path / "ready"
    program = f"echo up > {ready}; exec sleep 600"
    child = subprocess.Popen(["sh", "-c", programs.LEASH, "leash", "sh", "-c", program], stdin=subprocess.PIPE)
    assert child.stdin is not None
    child.stdin.close()
    assert child.wait(timeout=10) == 128 + 15


def test_leash_passes_on_the_programs_status() -> None:
    """A program that ends by itself ends the container, with its own exit status."""
    child = subprocess.Popen(["sh", "-c", programs.LEASH, "leash", "sh", "-c", "exit 7"], stdin=subprocess.PIPE)
    assert child.wait(timeout=10) == 7
