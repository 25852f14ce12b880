"""Unpacks a package of Debian's suite sid, with every library it needs, into a folder. Needs no root.

apt does the work with a configuration of its own (own lists, own cache, an empty list of installed packages), so the
machine's own packages are neither read nor changed, and suites do not mix. apt checks the mirror's signature and each
package's hash as always. The mirror is the one this machine already uses.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from infra.cache import locked
from infra.errors import DownloadFailed, ToolMissing

SUITE = "sid"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_ATTEMPTS = 3
_COMMAND_SECONDS = 300
_TOOLS = ("apt-get", "apt-config", "dpkg", "dpkg-deb")

# Needed by the package's installation scripts, which never run here, and large. apt is told they are installed.
_NOT_NEEDED = ("debconf", "systemd-standalone-sysusers")


def unpacked(package: str, program: str, cache: Path) -> Path:
    """The folder `cache/package` that holds `package` and its libraries; fetched and unpacked where it is missing.

    Args:
        package: Debian's name of it.
        program: the path of a program inside it; run with `--version` before the folder is accepted.
        cache: the cache folder.

    Raises:
        ToolMissing: this machine has no apt, or no mirror of Debian is configured.
        DownloadFailed: no mirror served it, in three attempts. The cache is unchanged.
        CacheBusy: another run is at it for too long.
    """
    target = cache / package
    if (target / program).exists():
        return target
    _require_apt()
    with locked(cache / f"{package}.lock"):
        if (target / program).exists():  # another run was faster
            return target
        for leftover in cache.glob(f".{package}.*"):  # of a run that was killed; we hold the lock
            shutil.rmtree(leftover, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=f".{package}.", dir=cache) as folder:
            work = Path(folder)
            tree = _fetched(package, work)
            _try_out(tree, program, package)
            # mkdtemp made the folder for us alone; what it holds may be read by everyone.
            tree.chmod(0o755)
            tree.replace(target)
    return target


def loader_command(tree: Path, program: str) -> tuple[str, ...]:
    """The command that runs `program` of an unpacked tree with the tree's own libraries, never the machine's."""
    # /lib is a link to usr/lib on Debian, and packages place their files in the latter.
    loaders = sorted(tree.glob("usr/lib/*-linux-gnu*/ld-linux*.so.*"))
    if not loaders:
        raise DownloadFailed(program, f"no dynamic loader in {tree}")
    loader = loaders[0]
    return str(loader), "--library-path", str(loader.parent), str(tree / program)


def mirrors() -> tuple[str, ...]:
    """The Debian mirrors that this machine's apt is configured with, most likely first; security archives left out."""
    listing = _run(["apt-get", "indextargets", "--no-release-info", "--format", "$(REPO_URI)"], "the list of mirrors")
    found = dict.fromkeys(line.strip() for line in listing.splitlines() if line.strip())
    # Other repositories (a vendor's own) are kept, last: a mirror may have any path.
    debian = [uri for uri in found if urlsplit(uri).path.strip("/").split("/")[-1] == "debian"]
    others = [uri for uri in found if uri not in debian and "security" not in uri]
    return (*debian, *others)


def _require_apt() -> None:
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing or not KEYRING.exists():
        looked_for = ", ".join(missing) or str(KEYRING)
        raise ToolMissing("apt", (f"{looked_for}: not found",), "a Debian system, with debian-archive-keyring")


def _fetched(package: str, work: Path) -> Path:
    """Download and unpack into `work/tree`, trying each mirror in turn, several times."""
    candidates = mirrors()
    if not candidates:
        raise ToolMissing("a Debian mirror", ("apt-get indextargets: names none",), "add one to apt's sources")
    problem = ""
    for _attempt in range(_ATTEMPTS):
        for mirror in candidates:
            try:
                return _fetched_from(mirror, package, work)
            except DownloadFailed as failure:
                problem = failure.problem
    raise DownloadFailed(package, problem)


def _fetched_from(mirror: str, package: str, work: Path) -> Path:
    configuration = _write_configuration(work, mirror)
    environment = {"APT_CONFIG": str(configuration)}
    _run(["apt-get", "-qq", "update"], f"suite {SUITE}", environment)
    install = ["apt-get", "-qq", "-y", "--no-install-recommends", "--download-only", "install", package]
    _run(install, package, environment)
    tree = work / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir()
    for archive in sorted((work / "archives").glob("*.deb")):
        _run(["dpkg-deb", "--extract", str(archive), str(tree)], archive.name)
    return tree


def _write_configuration(work: Path, mirror: str) -> Path:
    """Write apt's private configuration. Of the machine's own, only how to reach a mirror is kept (proxies, …)."""
    dump = _run(["apt-config", "dump"], "apt's configuration")
    kept = [line for line in dump.splitlines() if line.startswith(("Acquire::", "APT::Architecture"))]
    for folder in ("lists/partial", "archives/partial", "state"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    (work / "status").write_text("".join(_installed(name) for name in _NOT_NEEDED))
    (work / f"{SUITE}.sources").write_text(
        f"Types: deb\nURIs: {mirror}\nSuites: {SUITE}\nComponents: main\nSigned-By: {KEYRING}\n"
    )
    nowhere = ("Etc::Main", "Etc::Parts", "Etc::SourceParts", "Etc::Preferences", "Etc::PreferencesParts")
    ours = {
        **{f"Dir::{name}": "/dev/null" for name in nowhere},
        "Dir::Etc::SourceList": f"{work}/{SUITE}.sources",
        "Dir::State": f"{work}/state",
        "Dir::State::Lists": f"{work}/lists",
        "Dir::State::Status": f"{work}/status",
        "Dir::Cache": str(work),
        "Dir::Cache::Archives": f"{work}/archives",
        # Our folder may lie where apt's own unprivileged user cannot go.
        "APT::Sandbox::User": "root",
        "Acquire::Retries": "3",
        "Acquire::Languages": "none",
    }
    configuration = work / "apt.conf"
    configuration.write_text("\n".join([*kept, *(f'{name} "{value}";' for name, value in ours.items())]) + "\n")
    return configuration


def _installed(name: str) -> str:
    return f"Package: {name}\nStatus: install ok installed\nVersion: 999\nArchitecture: all\nMulti-Arch: foreign\n\n"


def _try_out(tree: Path, program: str, package: str) -> None:
    """Refuse a tree whose program does not start: a library may be missing."""
    if not (tree / program).exists():
        raise DownloadFailed(package, f"it holds no {program}")
    _run([*loader_command(tree, program), "--version"], package)


def _run(command: list[str], what: str, environment: dict[str, str] | None = None) -> str:
    """Run a command and return what it printed. Raises `DownloadFailed` with its last lines where it fails."""
    try:
        done = subprocess.run(
            command,
            check=True,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=_COMMAND_SECONDS,
            env=os.environ | {"LC_ALL": "C"} | (environment or {}),
        )
    except subprocess.TimeoutExpired as late:
        raise DownloadFailed(what, f"{command[0]} took longer than {_COMMAND_SECONDS} s") from late
    except subprocess.CalledProcessError as failed:
        said = str(failed.stderr or failed.stdout).strip().splitlines()
        raise DownloadFailed(what, "; ".join(said[-4:]) or f"{command[0]} failed") from failed
    except OSError as unusable:
        raise DownloadFailed(what, f"{command[0]}: {unusable.strerror}") from unusable
    return done.stdout
