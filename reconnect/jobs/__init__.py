"""What a task does where it is more than one call. Beside ship the only room that sees both toolchain and lab."""
