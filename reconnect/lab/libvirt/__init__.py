"""libvirtd of the stack: its own prefix, sockets, configuration and state; nothing of the host's libvirt is touched.

Which of its two drivers is used is not ours to choose: a libvirtd with the effective user 0 is the system's, any other
one a session's, and each can do all that a cell needs. They differ in where they keep things. A session's go where
the XDG variables point, and so into the runtime directory of the cell. The system's are compiled in: there lies a
link to the runtime directory, and a lock (:mod:`reconnect.lab.libvirt.places`).

No control groups, no namespaces, no security driver, no bridge and no other daemon: a container without rights runs it.
"""
