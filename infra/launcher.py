"""Replaces itself with a program that dies when its parent does. Run as a script, without site packages.

Usage: launcher.py PARENT_PID DEATH_SIGNAL UID GID REPORT_FD PROGRAM [ARGUMENT...]
A death signal of 0 lets the program outlive its parent; a uid of -1 keeps the user. The report is empty and closed once
the program runs; else it says why it does not.

This is a program of its own rather than a function between fork and exec, because Python code there may deadlock when
the parent has threads. Nothing of ours is imported: it has to start fast.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
"""From linux/prctl.h. See prctl(2): the signal that this process gets when the thread that started it ends."""


def main(arguments: list[str]) -> None:
    """Drop to the user, bind the life to the parent's, then become the program."""
    parent, death_signal, uid, gid, report = (int(argument) for argument in arguments[:5])
    program = arguments[5:]
    os.set_inheritable(report, False)
    try:
        if uid >= 0:
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
        # After the change of user: the kernel clears the setting when the user changes.
        if death_signal:
            _die_with(parent, death_signal)
        # Not execvp: it imports a module at need, which the new user may not be able to read.
        os.execv(program[0], program)  # noqa: S606 - to become another program is this file's whole purpose
    except OSError as error:
        os.write(report, f"{program[0]}: {error.strerror}".encode())
        sys.exit(127)


def _die_with(parent: int, death_signal: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    if os.getppid() != parent:  # the parent died before the setting was in force
        sys.exit("the parent is gone")


if __name__ == "__main__":
    main(sys.argv[1:])
