/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The probe that runs in the guest. It sends one ICMP echo request per interval to the peer, matches the replies,
 * watches the link through rtnetlink, and writes one line per event to a serial port:
 *
 *   p INTERVAL_US            once, first
 *   s SEQUENCE T             a request was given to the kernel (or refused by it: it counts as lost either way)
 *   a SEQUENCE T_SENT T      its first answer came
 *   l up|down T              the interface's carrier changed, or is this at the start
 *
 * T is CLOCK_MONOTONIC of the guest in microseconds. Usage:
 *
 *   probe PORT INTERFACE PEER INTERVAL_US MAC|arp
 *
 * With a MAC the peer gets a permanent neighbour entry, so that no address resolution is needed after the link was
 * down; with "arp" the kernel resolves it, as it does for most guests.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define ICMP_FILTER 1 /* linux/icmp.h, which clashes with net/if.h */
#define MAGIC 0x72636e74u
#define WINDOW 4096 /* a reply that comes later than this many requests is dropped */

struct payload {
	uint32_t magic;
	uint32_t sequence;
	uint64_t sent_us;
};

struct request {
	struct icmphdr icmp;
	struct payload payload;
};

static int port = 2;
static uint32_t answered[WINDOW]; /* the sequence that last was answered in each slot */

static void die(const char *what)
{
	fprintf(stderr, "probe: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* One write per line: a reader that joins late sees whole lines from the next newline on. */
static void say(const char *format, ...)
{
	char line[96];
	va_list args;
	int size;

	va_start(args, format);
	size = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (write(port, line, size) != size)
		die("write to the port");
}

static int open_port(const char *path)
{
	struct termios raw;
	int fd = open(path, O_WRONLY | O_NOCTTY);

	if (fd < 0 || tcgetattr(fd, &raw) < 0)
		die(path);
	cfmakeraw(&raw);
	cfsetspeed(&raw, B115200);
	if (tcsetattr(fd, TCSANOW, &raw) < 0)
		die(path);
	return fd;
}

static int open_link(void)
{
	struct sockaddr_nl self = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0 || bind(fd, (struct sockaddr *)&self, sizeof(self)) < 0)
		die("rtnetlink");
	return fd;
}

static void set_neighbour(int fd, const char *interface, struct in_addr peer, const char *mac)
{
	struct arpreq entry = {.arp_flags = ATF_PERM | ATF_COM};
	struct sockaddr_in *address = (struct sockaddr_in *)&entry.arp_pa;
	unsigned char *hw = (unsigned char *)entry.arp_ha.sa_data;

	address->sin_family = AF_INET;
	address->sin_addr = peer;
	entry.arp_ha.sa_family = ARPHRD_ETHER;
	strncpy(entry.arp_dev, interface, sizeof(entry.arp_dev) - 1);
	if (sscanf(mac, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", hw, hw + 1, hw + 2, hw + 3, hw + 4, hw + 5) != 6) {
		errno = EINVAL;
		die(mac);
	}
	if (ioctl(fd, SIOCSARP, &entry) < 0)
		die("permanent neighbour");
}

static uint16_t checksum(const void *data, size_t size)
{
	const uint16_t *word = data;
	uint32_t sum = 0;

	for (; size > 1; size -= 2)
		sum += *word++;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static void send_request(int fd, struct in_addr peer, uint32_t sequence)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = peer};
	struct request out = {
		.icmp = {.type = ICMP_ECHO, .un.echo = {htons(getpid() & 0xffff), htons(sequence & 0xffff)}},
		.payload = {MAGIC, sequence, now_us()},
	};

	out.icmp.checksum = checksum(&out, sizeof(out));
	/* A refusal (no route, link down, full queue) is a lost probe like any other. */
	if (sendto(fd, &out, sizeof(out), MSG_DONTWAIT, (struct sockaddr *)&to, sizeof(to)) < 0)
		errno = 0;
	say("s %u %llu\n", sequence, (unsigned long long)out.payload.sent_us);
}

static void read_reply(int fd)
{
	unsigned char packet[512];
	struct payload back;
	ssize_t size = recv(fd, packet, sizeof(packet), MSG_DONTWAIT);
	uint64_t now = now_us();
	size_t header = size > 0 ? (packet[0] & 15) * 4 + sizeof(struct icmphdr) : 0;

	if (!header || (size_t)size < header + sizeof(back))
		return;
	memcpy(&back, packet + header, sizeof(back));
	if (back.magic != MAGIC || answered[back.sequence % WINDOW] >= back.sequence)
		return;
	answered[back.sequence % WINDOW] = back.sequence;
	say("a %u %llu %llu\n", back.sequence, (unsigned long long)back.sent_us, (unsigned long long)now);
}

static void say_link(int up)
{
	static int before = -1;

	if (up != before)
		say("l %s %llu\n", up ? "up" : "down", (unsigned long long)now_us());
	before = up;
}

static void read_link(int fd, unsigned int interface)
{
	char buffer[8192] __attribute__((aligned(NLMSG_ALIGNTO)));
	int size = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
	struct nlmsghdr *message = (struct nlmsghdr *)buffer;

	for (; size > 0 && NLMSG_OK(message, (unsigned int)size); message = NLMSG_NEXT(message, size)) {
		const struct ifinfomsg *info = NLMSG_DATA(message);

		if (message->nlmsg_type == RTM_NEWLINK && (unsigned int)info->ifi_index == interface)
			say_link(!!(info->ifi_flags & IFF_RUNNING));
	}
}

int main(int argc, char **argv)
{
	uint32_t all_but_replies = ~(1u << ICMP_ECHOREPLY);
	struct itimerspec pace = {.it_value.tv_nsec = 1};
	struct ifreq flags = {0};
	struct pollfd fds[3];
	struct in_addr peer;
	uint32_t sequence = 0;
	unsigned int interface;
	long interval_us;

	if (argc != 6 || !inet_aton(argv[3], &peer) || (interval_us = atol(argv[4])) < 1000) {
		fprintf(stderr, "usage: probe PORT INTERFACE PEER INTERVAL_US MAC|arp\n");
		return 2;
	}
	port = open_port(argv[1]);
	interface = if_nametoindex(argv[2]);
	fds[0] = (struct pollfd){timerfd_create(CLOCK_MONOTONIC, 0), POLLIN, 0};
	fds[1] = (struct pollfd){socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), POLLIN, 0};
	fds[2] = (struct pollfd){open_link(), POLLIN, 0};
	if (!interface || fds[0].fd < 0 || fds[1].fd < 0)
		die("interface and sockets");
	setsockopt(fds[1].fd, SOL_RAW, ICMP_FILTER, &all_but_replies, sizeof(all_but_replies));
	if (strcmp(argv[5], "arp"))
		set_neighbour(fds[1].fd, argv[2], peer, argv[5]);

	say("\np %ld\n", interval_us);
	strncpy(flags.ifr_name, argv[2], IFNAMSIZ - 1);
	if (ioctl(fds[1].fd, SIOCGIFFLAGS, &flags) < 0)
		die(argv[2]);
	say_link(!!(flags.ifr_flags & IFF_RUNNING));

	pace.it_interval.tv_sec = interval_us / 1000000;
	pace.it_interval.tv_nsec = interval_us % 1000000 * 1000;
	timerfd_settime(fds[0].fd, 0, &pace, NULL);
	for (;;) {
		uint64_t ticks;

		if (poll(fds, 3, -1) < 0)
			die("poll");
		/* Replies first: their time stamps must not wait for a slow port. */
		if (fds[1].revents)
			read_reply(fds[1].fd);
		if (fds[2].revents)
			read_link(fds[2].fd, interface);
		/* A guest that was held up sends one request, not all those that it missed. */
		if (fds[0].revents && read(fds[0].fd, &ticks, sizeof(ticks)) == sizeof(ticks))
			send_request(fds[1].fd, peer, ++sequence);
	}
}
