"""The test guest: a kernel, busybox and the probe in an initramfs."""
