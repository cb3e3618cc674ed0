"""Whether the accelerator that was asked for can be used here."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from reconnect.kit.errors import HostError
from reconnect.kit.suggest import unknown

ACCELERATORS = ("tcg", "kvm")
KVM_GET_API_VERSION = 0xAE00
"""_IO(0xAE, 0x00), linux/kvm.h. The answer has been 12 since Linux 2.6.22."""


def check_accelerator(accel: str, device: Path = Path("/dev/kvm")) -> None:
    """Refuse an accelerator that this machine hasn't, before any VM is started.

    :raises ConfigError: nobody knows it.
    :raises HostError: ``kvm``, and its device is missing or can't be used.
    """
    if accel not in ACCELERATORS:
        raise unknown("accelerator", accel, ACCELERATORS)
    if accel == "tcg":
        return
    instead = "or run without it: the default accelerator, tcg, needs nothing of the machine"
    try:
        fd = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise HostError(
            f"KVM was asked for, and there is no {device}",
            why="the processor's virtualisation is off, the module isn't loaded, or this is a container without it",
            hint=f"modprobe kvm_intel (or kvm_amd), or give the container the device\n{instead}",
        ) from error
    except OSError as error:
        raise HostError(
            f"KVM was asked for, and {device} can't be opened: {error.strerror}",
            why="its group is usually kvm",
            hint=f"adduser $USER kvm, then log in again\n{instead}",
        ) from error
    try:
        fcntl.ioctl(fd, KVM_GET_API_VERSION)
    except OSError as error:
        raise HostError(
            f"KVM was asked for, and {device} is not KVM's device: {error.strerror}", hint=instead
        ) from error
    finally:
        os.close(fd)
