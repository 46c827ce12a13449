// SPDX-License-Identifier: Apache-2.0
// Another process on the machine, which is no server: prints the nanoseconds of one getppid, of one byte written to and
// read from a pipe, and of one byte sent and received over a loopback TCP connection.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void check(int result, const char *what)
{
	if (result < 0) {
		perror(what);
		exit(1);
	}
}

static double time_getppid(int count)
{
	double start = now();

	for (int i = 0; i < count; i++)
		syscall(SYS_getppid);
	return (now() - start) / count;
}

static double time_byte(int from, int to, int count)
{
	double start = now();
	char byte = 'x';

	for (int i = 0; i < count; i++) {
		check((int)write(to, &byte, 1), "write");
		check((int)read(from, &byte, 1), "read");
	}
	return (now() - start) / count;
}

static void connect_pair(int ends[2])
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	check(listener, "socket");
	check(bind(listener, (struct sockaddr *)&address, length), "bind");
	check(listen(listener, 1), "listen");
	check(getsockname(listener, (struct sockaddr *)&address, &length), "getsockname");
	check(ends[0] = socket(AF_INET, SOCK_STREAM, 0), "socket");
	check(connect(ends[0], (struct sockaddr *)&address, length), "connect");
	check(ends[1] = accept(listener, NULL, NULL), "accept");
	close(listener);
}

int main(void)
{
	int ends[2];
	int count = 200000;

	printf("%.1f", time_getppid(5 * count));
	check(pipe(ends), "pipe");
	printf(" %.1f", time_byte(ends[0], ends[1], count));
	connect_pair(ends);
	printf(" %.1f\n", time_byte(ends[0], ends[1], count / 4));
	return 0;
}
