"""Building the contracts, and loading what was built."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import boa
import pytest

from contracts import artifacts, build
from contracts.errors import ArtifactUnavailable, ContractTooLarge
from tests.support.native_contracts import deploy_code


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A copy of the built artifacts."""
    build.build_all()
    shutil.copytree(artifacts.BUILD, tmp_path / "build")
    return tmp_path / "build"


def test_every_deployable_contract_loads(built: Path) -> None:
    """Each artifact has a name, an ABI and creation code below the limit of EIP-3860."""
    for name in artifacts.DEPLOYABLE:
        loaded = artifacts.load(name, built)
        assert loaded.name == name
        assert any(entry["type"] == "function" for entry in loaded.abi)
        assert 0 < len(loaded.bytecode) <= 49_152


def test_artifact_that_was_not_built_names_the_cure(tmp_path: Path) -> None:
    """An absent artifact is refused with the command that makes it."""
    with pytest.raises(ArtifactUnavailable) as refusal:
        artifacts.load("Hub", tmp_path)
    assert (refusal.value.name, refusal.value.problem) == ("Hub", "is not built")
    assert refusal.value.cure in str(refusal.value)


def test_artifact_of_other_sources_is_refused(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a source changes, what was built before is not used."""
    monkeypatch.setattr(artifacts, "source_hash", lambda: "another")
    with pytest.raises(ArtifactUnavailable, match="built from other sources"):
        artifacts.load("Hub", built)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"{}", b"\xff", b'{"abi": 1, "bytecode": "0x"}', b'{"abi": [], "bytecode": "0xzz"}'],
)
def test_damaged_artifact_is_refused(tmp_path: Path, content: bytes) -> None:
    """A file that is not what the build wrote is called damaged, whatever is wrong with it."""
    (tmp_path / "Hub.json").write_bytes(content)
    with pytest.raises(ArtifactUnavailable, match="damaged"):
        artifacts.load("Hub", tmp_path)


def test_hash_follows_every_source_and_the_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change in content, name or number of sources, or of the compiler, changes the hash; nothing else does."""
    sources = tmp_path / "src"
    shutil.copytree(artifacts.SOURCES, sources)
    seen = {artifacts.source_hash(sources)}
    assert seen == {artifacts.source_hash()}
    (sources / "notes.txt").write_text("no source")
    assert artifacts.source_hash(sources) in seen
    (sources / "bip340.vy").write_bytes((sources / "bip340.vy").read_bytes() + b"\n")
    seen.add(artifacts.source_hash(sources))
    (sources / "bip340.vy").rename(sources / "bip341.vy")
    seen.add(artifacts.source_hash(sources))
    monkeypatch.setattr(artifacts, "version", lambda package: f"{package} 9")
    seen.add(artifacts.source_hash(sources))
    assert len(seen) == 4


def test_build_that_is_up_to_date_compiles_nothing(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second build does nothing; after an artifact is lost, all are written again with the same hash."""
    compiled: list[str] = []

    def compile_contract(name: str) -> dict[str, object]:
        compiled.append(name)
        return {key: value for key, value in kept[name].items() if key != "source_hash"}

    kept = {name: json.loads((built / f"{name}.json").read_bytes()) for name in artifacts.DEPLOYABLE}
    monkeypatch.setattr(build, "compile_contract", compile_contract)
    assert build.is_up_to_date(built)
    assert not build.build_all(built)
    assert compiled == []
    (built / "Bonds.json").unlink()
    assert not build.is_up_to_date(built)
    assert build.build_all(built)
    assert compiled == list(artifacts.DEPLOYABLE)
    assert build.is_up_to_date(built)


def test_contract_above_the_limit_is_not_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A contract that no EVM chain accepts is refused with its size, immutables included (EIP-170)."""
    source = (
        "# pragma version ~=0.4.3\nN: public(immutable(uint256))\n\n@deploy\ndef __init__():\n    N = block.number\n"
    )
    (tmp_path / "Small.vy").write_text(source)
    monkeypatch.setattr(build, "SOURCES", tmp_path)
    size = build.compile_contract("Small")["size"]
    monkeypatch.setattr(build, "CODE_LIMIT_BYTES", size)
    build.compile_contract("Small")
    monkeypatch.setattr(build, "CODE_LIMIT_BYTES", 60)
    with pytest.raises(ContractTooLarge) as refusal:
        build.compile_contract("Small")
    assert (refusal.value.name, refusal.value.size_bytes, refusal.value.limit_bytes) == ("Small", size, 60)


def test_immutables_count_to_the_size() -> None:
    """What the constructor appends to the code is summed over all modules."""
    layout: dict[str, object] = {
        "code_layout": {"a": {"length": 32, "offset": 0}, "module": {"b": {"length": 64}, "c": {"length": 20}}},
        "storage_layout": {"d": {"slot": 0}},
    }
    assert build.immutables_bytes(layout) == 116
    assert build.immutables_bytes({}) == 0


def test_recorded_size_is_the_deployed_size(world: object) -> None:
    """The size that was checked against the limit is that of the code on the chain."""
    for name in ("Registry", "Bonds", "Hub"):
        recorded = json.loads((artifacts.BUILD / f"{name}.json").read_bytes())["size"]
        assert len(boa.env.get_code(str(getattr(world, name.lower()).address))) == recorded


def test_blueprint_holds_the_creation_code_behind_its_preamble() -> None:
    """Deploying the blueprint's code leaves 0xfe7100 and the creation code on the chain (ERC-5202)."""
    built = artifacts.load("MappingToken")
    address = deploy_code(built.blueprint_bytecode)
    assert boa.env.get_code(address) == bytes.fromhex("fe7100") + built.bytecode


def test_main_says_what_it_did(
    built: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command tells whether it compiled, and ends with 1 where a contract is too large."""
    for compiled, text in ((True, "Contracts compiled\n"), (False, "Contracts are up to date\n")):
        monkeypatch.setattr(build, "build_all", lambda compiled=compiled: compiled)
        assert build.main() == 0
        assert capsys.readouterr().out == text

    def too_large() -> bool:
        raise ContractTooLarge("Hub", 30_000, 24_576)

    monkeypatch.setattr(build, "build_all", too_large)
    assert build.main() == 1
    assert "30000 bytes" in capsys.readouterr().err
