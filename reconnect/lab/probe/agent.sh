# shellcheck shell=sh
# shellcheck disable=SC2154 # init reads these from the kernel's command line
# The guest's agent, a part of its init: it takes orders at the probe's serial port, one a line, and answers each there:
#
#   NUMBER VERB [WORD]...   ->   r NUMBER CODE [TEXT]
#
# network       wait for a card, set it up, begin to probe
# silence       end the probe
# reload        unload and load the card's driver; begin to probe
# transport 0|1 the same with the driver of virtio's transport: 1 has it speak as virtio 0.9 did, without VERSION_1
# features      tell which features the driver has accepted, bit 0 first
# memory-above N  wait until there are more than N KiB of memory
# memory        tell how much memory there is, as /proc/meminfo has it
#
# "r 0 0" is said once, when it listens.

PORT=/dev/ttyS1
probe=''
# A hot-plugged card comes when ACPI has told the kernel of it: so many looks, a twentieth of a second apart.
LOOKS=400

network() {
    looks=$LOOKS
    while [ ! -e /sys/class/net/eth0 ]; do
        looks=$((looks - 1))
        [ "$looks" -gt 0 ] || return 1
        /bin/busybox usleep 50000
    done
    /bin/busybox ip addr add 192.0.2.2/24 dev eth0 && /bin/busybox ip link set eth0 up || return
    echo "init: probing $peer every $interval us, neighbour $neighbour"
    /bin/probe "$PORT" eth0 "$peer" "$interval" "$neighbour" &
    probe=$!
    [ -z "$cpu" ] || /bin/busybox taskset -p "$cpu" "$probe" >/dev/null
}

memory() {
    while read -r name value _; do
        [ "$name" != MemTotal: ] || echo "$name $value"
    done </proc/meminfo
}

memory_above() {
    looks=$LOOKS
    while now=$(memory) && [ "${now#* }" -le "$1" ]; do
        looks=$((looks - 1))
        [ "$looks" -gt 0 ] || return 1
        /bin/busybox usleep 50000
    done
}

silence() {
    [ "$probe" ] || return 0
    kill "$probe"
    wait "$probe"
    probe=''
}

load() {
    module=$1
    shift
    /bin/busybox insmod "/modules/$module.ko" "$@"
}

obey() {
    case $1 in
        network) network ;;
        silence) silence ;;
        reload) silence && /bin/busybox rmmod virtio_net && load virtio_net && network ;;
        transport) silence && /bin/busybox rmmod virtio_pci && load virtio_pci "force_legacy=$2" && network ;;
        features) /bin/busybox cat /sys/class/net/eth0/device/features ;;
        memory) memory ;;
        memory-above) memory_above "$2" ;;
        *) return 127 ;;
    esac
}

exec 3<>"$PORT"
/bin/busybox stty raw -echo <&3
[ ! -e /sys/class/net/eth0 ] || network
echo "r 0 0" >&3
# Orders are obeyed in this shell: it must remember the probe. So what they say goes through a file.
while read -r number words <&3; do
    # shellcheck disable=SC2086 # words are to be split
    obey $words >/said
    code=$?
    read -r text </said || text=''
    echo "r $number $code $text" >&3
done
