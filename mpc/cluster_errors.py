"""Errors of the running cluster: peers, messages, keystore, signing and key generation sessions.

The errors of the protocols' mathematics are in `mpc.errors`. A peer is named by its host key (33 bytes), a member of
a group by its index 0…n−1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from foundation.errors import BadInput, Fatal, Retryable


class MalformedMessage(BadInput):
    """Bytes from a peer do not have the form of a message. They are dropped and counted.

    Fields: field (which part), problem, cure (see `BadInput`).
    """


class UnauthenticMessage(Fatal):
    """A well-formed message is not what it claims to be: its signature, network, recipient or channel is wrong.

    Fields: sender (the host key it claims, 33 bytes); problem.
    """

    def __init__(self, sender: bytes, problem: str) -> None:
        self.sender = sender
        self.problem = problem
        super().__init__(f"a message that claims to be from {sender.hex()} is refused: {problem}")


class StaleMessage(Fatal):
    """A message is outside of the time window, or was received before.

    Fields: sender (33 bytes); problem.
    """

    def __init__(self, sender: bytes, problem: str) -> None:
        self.sender = sender
        self.problem = problem
        super().__init__(f"a message from {sender.hex()} is refused: {problem}")


class TooManyRequests(Retryable):
    """A peer asks for more than its share of this node.

    Fields: peer (33 bytes); what (which limit).
    """

    def __init__(self, peer: bytes, what: str) -> None:
        self.peer = peer
        self.what = what
        super().__init__(f"{peer.hex()} has reached its limit of {what}")


class PeerUnknown(Retryable):
    """The peer is not in the directory; it may be registered later.

    Fields: peer (33 bytes).
    """

    def __init__(self, peer: bytes) -> None:
        self.peer = peer
        super().__init__(f"{peer.hex()} is not registered")


class PeerSilent(Retryable):
    """A peer did not answer in time, or its queue is full because it has been away.

    Fields: peer (33 bytes); kind; timeout_s (seconds waited).
    """

    def __init__(self, peer: bytes, kind: str, timeout_s: float) -> None:
        self.peer = peer
        self.kind = kind
        self.timeout_s = timeout_s
        super().__init__(f"{peer.hex()} did not answer {kind} within {timeout_s:g} s")


class PeerRefused(Retryable):
    """A peer answered with a refusal. What it says is its own claim.

    Fields: peer (33 bytes); kind; error (the type of its error); text.
    """

    def __init__(self, peer: bytes, kind: str, error: str, text: str) -> None:
        self.peer = peer
        self.kind = kind
        self.error = error
        self.text = text
        super().__init__(f"{peer.hex()} refused {kind}: {error}: {text}")


class NetworkClosed(Retryable):
    """The peer network is closing or closed."""

    def __init__(self) -> None:
        super().__init__("the peer network is closed")


class CannotListen(Retryable):
    """The node's own address cannot be listened on: another process does, or this machine has no such address.

    Fields: address; problem.
    """

    def __init__(self, address: str, problem: str) -> None:
        self.address = address
        self.problem = problem
        super().__init__(f"cannot listen on {address}: {problem}")


class EmptyPassword(BadInput):
    """A keystore was to be made without a password."""

    def __init__(self) -> None:
        super().__init__("password", "is empty", "a password of at least one character")


class WrongPassword(BadInput):
    """The password does not open the keystore."""

    def __init__(self, path: Path) -> None:
        super().__init__("password", f"does not open {path}", "give the password that the keystore was made with")


class KeystoreDamaged(Fatal):
    """A keystore file does not parse or was changed; restore it from the host key and the recovery data.

    Fields: path; problem.
    """

    def __init__(self, path: Path, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"the keystore {path} is damaged: {problem}")


class KeystoreInUse(Retryable):
    """Another process has the keystore open.

    Fields: path.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"another process uses the keystore {path}")


class KeystoreExists(Fatal):
    """A keystore is there already; making a new one would destroy its keys.

    Fields: path.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"a keystore exists at {path}")


class ShareNotHeld(Retryable):
    """This node holds no share of the group (in that epoch); a key generation or a recovery may bring it.

    Fields: group (32 bytes); epoch (None: any).
    """

    def __init__(self, group: bytes, epoch: int | None = None) -> None:
        self.group = group
        self.epoch = epoch
        where = "" if epoch is None else f" in epoch {epoch}"
        super().__init__(f"no share of group {group.hex()} is held{where}")


class ShareNotReady(Retryable):
    """Not all members are known to have stored their share yet, so the key signs nothing but its proof.

    Fields: group (32 bytes).
    """

    def __init__(self, group: bytes) -> None:
        self.group = group
        super().__init__(f"the key of group {group.hex()} is not yet confirmed by all members")


class ConflictingShare(Fatal):
    """Another key is held for the same group and epoch. A coordinator that shows two is at fault.

    Fields: group (32 bytes); epoch.
    """

    def __init__(self, group: bytes, epoch: int) -> None:
        self.group = group
        self.epoch = epoch
        super().__init__(f"another key of group {group.hex()} in epoch {epoch} is held already")


class NotAMember(Fatal):
    """Someone who is not a member of the group asks for something that only members may ask for.

    Fields: group (32 bytes); peer (33 bytes).
    """

    def __init__(self, group: bytes, peer: bytes) -> None:
        self.group = group
        self.peer = peer
        super().__init__(f"{peer.hex()} is not a member of group {group.hex()}")


class EpochMismatch(Retryable):
    """A request names another epoch than the one this node signs with.

    Fields: group (32 bytes); asked; held.
    """

    def __init__(self, group: bytes, asked: int, held: int) -> None:
        self.group = group
        self.asked = asked
        self.held = held
        super().__init__(f"group {group.hex()} is asked to sign in epoch {asked}, this node holds epoch {held}")


class NonceUnavailable(Retryable):
    """The nonces that a round names are unknown, spent or of another session; a new offer is needed.

    Fields: problem.
    """

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"the nonces cannot be used: {problem}")


class InvalidRound(Fatal):
    """A coordinator's round cannot be signed: bad identifiers, bad aggregate nonces, wrong counts.

    Fields: problem.
    """

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"the round is invalid: {problem}")


class SessionUnknown(Retryable):
    """No session of that id is open here: it ended, expired, or this node has restarted.

    Fields: session (32 bytes).
    """

    def __init__(self, session: bytes) -> None:
        self.session = session
        super().__init__(f"no session {session.hex()} is open")


class SessionConflict(Fatal):
    """A session id is used again for something else.

    Fields: session (32 bytes); problem.
    """

    def __init__(self, session: bytes, problem: str) -> None:
        self.session = session
        self.problem = problem
        super().__init__(f"session {session.hex()}: {problem}")


class SigningRefused(Retryable):
    """So many members refuse or are at fault that the threshold cannot be reached.

    Fields: group (32 bytes); refusals (index → (error type, text)); culprits (indices of those at fault).
    """

    def __init__(self, group: bytes, refusals: Mapping[int, tuple[str, str]], culprits: Sequence[int]) -> None:
        self.group = group
        self.refusals = dict(refusals)
        self.culprits = tuple(culprits)
        said = "; ".join(f"{i}: {error}: {text}" for i, (error, text) in sorted(self.refusals.items()))
        at_fault = f"; at fault: {', '.join(map(str, self.culprits))}" if culprits else ""
        super().__init__(f"group {group.hex()} does not sign; refused: {said or 'nobody'}{at_fault}")


class SigningTimeout(Retryable):
    """Fewer than the threshold of members answered in time.

    Fields: group (32 bytes); waiting_for (indices that owe an answer); culprits (indices of those at fault).
    """

    def __init__(self, group: bytes, waiting_for: Sequence[int], culprits: Sequence[int]) -> None:
        self.group = group
        self.waiting_for = tuple(waiting_for)
        self.culprits = tuple(culprits)
        super().__init__(f"group {group.hex()} did not sign in time; waiting for {list(self.waiting_for)}")


class GroupNotProposed(Retryable):
    """The directory does not know this group with these members and this threshold.

    Fields: group (32 bytes).
    """

    def __init__(self, group: bytes) -> None:
        self.group = group
        super().__init__(f"group {group.hex()} is not proposed with these members and this threshold")


@dataclass(frozen=True, slots=True)
class Accusation:
    """Who says that who broke a key generation. Neither alone is proof: an accuser may lie.

    Attributes:
        accuser: index of the participant that says so; None: the coordinator saw it itself.
        accused: index of the participant at fault; None: the coordinator.
        problem: what was wrong.
    """

    accuser: int | None
    accused: int | None
    problem: str


class KeyGenerationFailed(Retryable):
    """A key generation broke off; another attempt may succeed, with the accused replaced if it repeats.

    Fields: group (32 bytes); attempt; accusations; missing (indices that did not answer or refused).
    """

    def __init__(
        self, group: bytes, attempt: int, accusations: Sequence[Accusation], missing: Mapping[int, str] | None = None
    ) -> None:
        self.group = group
        self.attempt = attempt
        self.accusations = tuple(accusations)
        self.missing = dict(missing or {})
        said = [f"{_who(a.accused)} is accused by {_who(a.accuser)}: {a.problem}" for a in self.accusations] + [
            f"{_who(i)}: {problem}" for i, problem in sorted(self.missing.items())
        ]
        super().__init__(f"key generation {attempt} of group {group.hex()} failed: {'; '.join(said)}")


def _who(index: int | None) -> str:
    return "the coordinator" if index is None else f"participant {index}"
