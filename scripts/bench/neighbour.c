// SPDX-License-Identifier: Apache-2.0
// Another process on the machine, which is not a server. Usage: neighbour SLICES. For each slice, prints the
// nanoseconds of CPU and the instructions of one getppid, of one byte through a pipe, and of one byte through a
// loopback TCP connection. A slice lasts about a millisecond, so that most slices are not interrupted on a busy
// machine.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "measure.h"

static void call_getppid(int count) {
  for (int i = 0; i < count; i++) syscall(SYS_getppid);
}

static void pass_bytes(const int ends[2], int count) {
  char byte = 'x';

  for (int i = 0; i < count; i++) {
    check(write(ends[1], &byte, 1), "write");
    check(read(ends[0], &byte, 1), "read");
  }
}

static void connect_pair(int ends[2]) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof(address);
  int listener = socket(AF_INET, SOCK_STREAM, 0);

  check(listener, "socket");
  check(bind(listener, (struct sockaddr*)&address, length), "bind");
  check(listen(listener, 1), "listen");
  check(getsockname(listener, (struct sockaddr*)&address, &length), "getsockname");
  check(ends[0] = socket(AF_INET, SOCK_STREAM, 0), "socket");
  check(connect(ends[0], (struct sockaddr*)&address, length), "connect");
  check(ends[1] = accept(listener, NULL, NULL), "accept");
  close(listener);
}

int main(int argc, char** argv) {
  int slices = argc == 2 ? atoi(argv[1]) : 1;
  int pipe_ends[2];
  int tcp_ends[2];
  struct meter meter;

  meter_open(&meter, getpid());
  check(pipe(pipe_ends), "pipe");
  connect_pair(tcp_ends);
  for (int slice = 0; slice < slices; slice++) {
    meter_start(&meter);
    call_getppid(10000);
    meter_print(&meter, "getppid", 10000);
    meter_start(&meter);
    pass_bytes(pipe_ends, 3000);
    meter_print(&meter, "pipe", 3000);
    meter_start(&meter);
    pass_bytes(tcp_ends, 500);
    meter_print(&meter, "tcp", 500);
  }
  return 0;
}
