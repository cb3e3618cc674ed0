"""QEMU: its command line, its monitor, its life as a process."""
