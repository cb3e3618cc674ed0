"""A guest of a few instructions under KVM: ``python -m reconnect.lab.qemu.kvm_trial DEVICE``

It counts down from :data:`LOOPS` in real mode, and halts. Where a processor runs it that takes milliseconds. A device
may also be there and of no use: a kernel module that emulates each instruction (a nested host without its processor's
virtualisation) takes a microsecond and more for each, and no guest ever boots. So whoever calls this gives it a few
seconds; it ends with 0 when the guest has halted, and with 1 and a line that says why where KVM refuses it.

The numbers are those of linux/kvm.h on x86_64.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import struct
import sys

LOOPS = 4_000_000
"""Two instructions each."""

KVM_CREATE_VM = 0xAE01
KVM_GET_VCPU_MMAP_SIZE = 0xAE04
KVM_CREATE_VCPU = 0xAE41
KVM_SET_TSS_ADDR = 0xAE47
KVM_SET_USER_MEMORY_REGION = 0x4020AE46
KVM_RUN = 0xAE80
KVM_SET_REGS = 0x4090AE82
KVM_GET_SREGS = 0x8138AE83
KVM_SET_SREGS = 0x4138AE84
KVM_EXIT_HLT = 5

REGS_BYTES, RIP, RFLAGS = 144, 16 * 8, 17 * 8
SREGS_BYTES, CS_BASE, CS_SELECTOR = 312, 0, 12
EXIT_REASON = 8
"""Offsets in struct kvm_regs, kvm_sregs and kvm_run."""

PAGE, START = 4096, 0x1000
SCRATCH = 0x7FFBD000
"""Three pages of the guest's addresses that an Intel processor needs for real mode; any that are free."""


def exit_reason(device: str, loops: int = LOOPS) -> int:
    """Run the guest; returns why it stopped.

    :raises OSError: KVM refused something.
    """
    kvm = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    machine = fcntl.ioctl(kvm, KVM_CREATE_VM, 0)
    fcntl.ioctl(machine, KVM_SET_TSS_ADDR, SCRATCH)
    memory = mmap.mmap(-1, PAGE)
    # mov ecx, LOOPS; dec ecx; jnz back to it; hlt
    code = b"\x66\xb9" + struct.pack("<I", loops) + b"\x66\x49\x75\xfc" + b"\xf4"
    memory[: len(code)] = code
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    fcntl.ioctl(machine, KVM_SET_USER_MEMORY_REGION, struct.pack("=IIQQQ", 0, 0, START, PAGE, address))
    cpu = fcntl.ioctl(machine, KVM_CREATE_VCPU, 0)
    run = mmap.mmap(cpu, fcntl.ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE))
    special = bytearray(SREGS_BYTES)
    fcntl.ioctl(cpu, KVM_GET_SREGS, special)
    struct.pack_into("=Q", special, CS_BASE, 0)
    struct.pack_into("=H", special, CS_SELECTOR, 0)
    fcntl.ioctl(cpu, KVM_SET_SREGS, bytes(special))
    registers = bytearray(REGS_BYTES)
    struct.pack_into("=Q", registers, RIP, START)
    struct.pack_into("=Q", registers, RFLAGS, 2)
    fcntl.ioctl(cpu, KVM_SET_REGS, bytes(registers))
    fcntl.ioctl(cpu, KVM_RUN, 0)
    return int(struct.unpack_from("=I", run, EXIT_REASON)[0])


def main(device: str) -> int:
    """Run the guest; returns the exit code."""
    try:
        reason = exit_reason(device)
    except OSError as error:
        print(f"{device}: {error.strerror}")
        return 1
    if reason != KVM_EXIT_HLT:
        print(f"the guest did not halt: KVM's exit reason is {reason}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
