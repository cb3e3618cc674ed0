"""Whether the accelerator that was asked for can be used here."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from reconnect.kit import command
from reconnect.kit.command import CommandError
from reconnect.kit.errors import HostError
from reconnect.kit.suggest import unknown
from reconnect.lab.qemu import kvm_trial

ACCELERATORS = ("tcg", "kvm")
KVM_GET_API_VERSION = 0xAE00
"""_IO(0xAE, 0x00), linux/kvm.h. The answer has been 12 since Linux 2.6.22."""


INSTEAD = "or run without it: the default accelerator, tcg, needs nothing of the machine"
TRIAL_SECONDS = 5.0
"""A processor needs milliseconds, and a busy machine a second to start the trial."""


def check_accelerator(accel: str, device: Path = Path("/dev/kvm")) -> None:
    """Refuse an accelerator that this machine hasn't, before any VM is started.

    :raises ConfigError: nobody knows it.
    :raises HostError: ``kvm``, and its device is missing or can't be used, or no guest runs under it.
    """
    if accel not in ACCELERATORS:
        raise unknown("accelerator", accel, ACCELERATORS)
    if accel == "tcg":
        return
    try:
        fd = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise HostError(
            f"KVM was asked for, and there is no {device}",
            why="the processor's virtualisation is off, the module isn't loaded, or this is a container without it",
            hint=f"modprobe kvm_intel (or kvm_amd), or give the container the device\n{INSTEAD}",
        ) from error
    except OSError as error:
        raise HostError(
            f"KVM was asked for, and {device} can't be opened: {error.strerror}",
            why="its group is usually kvm",
            hint=f"adduser $USER kvm, then log in again\n{INSTEAD}",
        ) from error
    try:
        fcntl.ioctl(fd, KVM_GET_API_VERSION)
    except OSError as error:
        raise HostError(
            f"KVM was asked for, and {device} is not KVM's device: {error.strerror}", hint=INSTEAD
        ) from error
    finally:
        os.close(fd)
    try_guest([sys.executable, "-m", kvm_trial.__name__, str(device)])


def try_guest(argv: Sequence[str], seconds: float = TRIAL_SECONDS) -> None:
    """Run a guest of a few instructions: a device may be there, and no guest run under it.

    :param argv: the trial, see :mod:`reconnect.lab.qemu.kvm_trial`.
    :param seconds: that it may take.
    :raises HostError: it failed, or took longer.
    """
    env = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        command.run(argv, env=env, timeout=seconds)
    except CommandError as error:
        slow = "a guest of a few million instructions did not end: they are emulated, or not run at all"
        raise HostError(
            "KVM was asked for, and no guest runs under it here",
            why=next(iter(error.tail), slow),
            hint=f"use a machine whose processor's virtualisation is there for it\n{INSTEAD}",
        ) from error
