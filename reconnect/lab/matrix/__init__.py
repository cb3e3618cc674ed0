"""The matrix *message x cut x moment*: whatever message the backend dies at, QEMU survives and recovers.

Each entry is a cell of its own in results.json. Its fault is written ``KIND:RULE@MOMENT``, for example
``cut:SET_MEM_TABLE:after-read@reconnect``; the rule is one of the stub's (:mod:`reconnect.lab.stub.script`).

=============  ======================================================================================================
moment         what is under way when the rule is carried out
=============  ======================================================================================================
``startup``    QEMU starts and greets its backend; no guest runs
``boot``       a guest boots for the first time
``reconnect``  QEMU greets a backend that has just come back, and starts the rings of a running guest
``set-link``   ``set_link off`` and ``on``: the rings of a running guest are stopped and started
``stop-cont``  ``stop`` and ``cont``: the same with the guest paused
``reboot``     ``system_reset``: the rings are stopped, and the guest's driver starts them again
``quit``       QEMU is told to quit
=============  ======================================================================================================

=============  ======================================================================================================
kind           the backend
=============  ======================================================================================================
``cut``        closes the connection at the message
``lie``        answers what no good backend would, once, or comes back as another
``gone``       refuses to work, or goes silent, and is gone a second later
``spin``       is no good on each connection, for a few seconds: QEMU may try again once a second
``hang``       goes silent with the connection open: QEMU must answer its monitor, and give up that connection
=============  ======================================================================================================

``rehearse@MOMENT`` is the moment without a rule: all must be well, and QEMU must send no message that the matrix
does not cut. ``away@boot`` lets the guest boot without its backend: what the guest negotiates then must count when
the backend is back. ``many:N@reconnect`` restarts the backend N times: descriptors, threads and memory must not grow.
``fuzz:SEED@reconnect`` follows a seed through the matrix for five minutes; the same seed is the same walk.

``--fault matrix`` stands for the default set; what no QEMU does yet (``hang``, some of ``lie``) is only run by name.
One booted guest serves many entries; after one that failed there is a new one.
"""
