"""A scripted vhost-user back-end: ``python -m reconnect.lab.stub`` is a program of its own.

It speaks the protocol that QEMU's ``docs/interop/vhost-user.rst`` describes (cited here as *spec*, by section), answers
ARP and ping like a switch with a host behind it, and does what no real switch does on demand: it dies, hangs or lies
at the very message that its script names. What it hears it checks as strictly as the specification allows.

    protocol   names and numbers            wire      messages and descriptors on the socket
    checks     what a front-end must handle   memory    the guest's memory, mapped
    ring       split virtqueues             frames    ARP and ping
    script     what goes wrong, and when    session   one connection
    events     the log                      peer      sockets, kicks and signals: the loop

The modules of the peer import nothing of the rest of the project, so that it starts in a moment.
"""
