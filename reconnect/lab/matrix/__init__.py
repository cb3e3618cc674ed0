"""The matrix *message x cut x phase*: whatever message the backend dies at, QEMU survives and recovers.

Each case is a cell of its own in results.json. Its fault is written ``KIND:RULE@PHASE``, for example
``cut:SET_MEM_TABLE:after-read@reconnect``; the rule is one of the stub's (:mod:`reconnect.lab.stub.script`).

=============  ======================================================================================================
phase         what is under way when the rule is carried out
=============  ======================================================================================================
``startup``    QEMU starts and shakes hands with its backend; no guest runs
``boot``       a guest boots for the first time
``reconnect``  QEMU shakes hands with a backend that has just come back, and starts the rings of a running guest
``queues``     the same with two queue pairs (:mod:`reconnect.lab.matrix.queues`)
``set-link``   ``set_link off`` and ``on``: the rings of a running guest are stopped and started
``stop-cont``  ``stop`` and ``cont``: the same with the guest paused
``unload``     the guest unloads and loads its driver (:mod:`reconnect.lab.matrix.unload`)
``reboot``     ``system_reset``: the rings are stopped, and the guest's driver starts them again
``migrate``    the guest is sent to nowhere, and goes on here (:mod:`reconnect.lab.matrix.migrate`)
``quit``       QEMU is told to quit
=============  ======================================================================================================

=============  ======================================================================================================
kind           the backend
=============  ======================================================================================================
``cut``        closes the connection at the message
``lie``        answers what no good backend would, once, or comes back as another
``gone``       refuses to work, or goes silent, and is gone a second later
``spin``       is no good on each connection, for a few seconds: QEMU may try again once a second
``hang``       goes silent with the connection open: QEMU must answer its monitor, and give up that connection; where
               that is at the first message of a reconnect, guest and monitor must not even be usage meanwhile
``late``       answers when QEMU's time limit is over, where it may: it maps memory, or owns rings
=============  ======================================================================================================

``rehearse@PHASE`` is the phase without a rule: all must be well, and QEMU must send no message that the matrix
does not cut. ``away@boot`` and ``away@unload`` let the guest load its driver without its backend: what the guest
negotiates then must count when the backend is back. ``many:N@reconnect`` restarts the backend N times: descriptors,
threads and memory must not grow. ``fuzz:SEED@reconnect`` follows a seed through the matrix for five minutes; the same
seed is the same steps, and ``fuzz@reconnect`` draws a new one, which is said.

Some stories have no rule, but a variant: ``plug:VARIANT@hot-plug`` and ``unplug:VARIANT@hot-plug``
(:mod:`reconnect.lab.matrix.hotplug`), ``wedge:VARIANT@reconnect`` (:mod:`reconnect.lab.matrix.wedge`),
``dead:VARIANT@migrate``, and ``dimm:N@memory`` (:mod:`reconnect.lab.matrix.dimm`).

``--fault matrix`` stands for the default set; what takes long is only run by name. One booted guest serves many
cases of its phase; after one that failed there is a new one.
"""
