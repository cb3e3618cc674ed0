"""vhost-user ports that survive a restart of the switch: build the patched QEMU and libvirt, and prove it."""

__version__ = "0.1.0"
