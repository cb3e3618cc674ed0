#!/bin/sh
# The guest's init: drivers, one interface, the probe. When it ends, so does the guest (the kernel panics).
# The kernel's command line says what to do:
#   reconnect.peer=ADDRESS reconnect.interval=MICROSECONDS reconnect.neighbour=MAC|arp
#   reconnect.hotplug=1  the network card comes later: say so ("w") where the probe will speak, and wait for it
#   reconnect.agent=1   stay and take orders (see the agent); a card may then come later
#   reconnect.cpu=MASK  the probe's processors, as taskset has them
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
exec >/dev/console 2>&1 </dev/console

for module in $(/bin/busybox cat /modules/order); do
    /bin/busybox insmod "/modules/$module" || echo "init: $module cannot be loaded"
done

peer='' interval='' neighbour='' hotplug='' agent='' cpu=''
for word in $(/bin/busybox cat /proc/cmdline); do
    case $word in
        reconnect.peer=*) peer=${word#*=} ;;
        reconnect.interval=*) interval=${word#*=} ;;
        reconnect.neighbour=*) neighbour=${word#*=} ;;
        reconnect.hotplug=1) hotplug=1 ;;
        reconnect.agent=*) agent=${word#*=} ;;
        reconnect.cpu=*) cpu=${word#*=} ;;
    esac
done
/bin/busybox ip link set lo up
if [ "$agent" ]; then
    # shellcheck source=/dev/null # it is another script of the list
    . /bin/agent
    exit 1
fi

if [ "$hotplug" ]; then
    # The first bytes on the port may be lost: the line begins with its own end.
    printf '\nw\n' >/dev/ttyS1
    # A shell can't wait for the kernel's event; the host's deadline ends this.
    until [ -e /sys/class/net/eth0 ]; do
        /bin/busybox usleep 20000
    done
fi

# virtio_net makes its device before insmod returns; where there is none, the network card is not what it should be.
if [ ! -e /sys/class/net/eth0 ]; then
    echo "init: there is no network device"
    exit 1
fi
/bin/busybox ip addr add 192.0.2.2/24 dev eth0
/bin/busybox ip link set eth0 up
echo "init: probing $peer every $interval us, neighbour $neighbour"
[ -z "$cpu" ] || /bin/busybox taskset -p "$cpu" $$ >/dev/null
exec /bin/probe /dev/ttyS1 eth0 "$peer" "$interval" "$neighbour"
