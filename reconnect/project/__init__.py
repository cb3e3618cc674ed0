"""The facts of this checkout: stacks.toml, the environment, folders, the host's packages."""
