// SPDX-License-Identifier: Apache-2.0
// Load for the server under test: keep-alive requests over 16 connections, as fast as the server answers them. Usage:
// load PORT PID SLICES REQUESTS <request. Prints, for each slice of REQUESTS requests, the nanoseconds of CPU that the
// process PID used per request, and its instructions per request.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "measure.h"

#define CONNECTIONS 16

static char request[4096];
static size_t request_length;
static size_t response_length;

static void fail(const char* what) {
  fprintf(stderr, "load: %s\n", what);
  exit(1);
}

static int connect_to(int port) {
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons((in_port_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  int yes = 1;

  check(fd, "socket");
  check(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)), "setsockopt");
  check(connect(fd, (struct sockaddr*)&address, sizeof(address)), "connect");
  return fd;
}

static void send_request(int fd) {
  if (send(fd, request, request_length, MSG_NOSIGNAL) != (ssize_t)request_length) fail("the request could not be sent");
}

// The head and the body of a response can arrive in separate segments. Every response has the same length.
static void receive_response(int fd) {
  char buffer[4096];
  size_t received = 0;

  while (received < response_length) {
    ssize_t n = recv(fd, buffer, sizeof(buffer), 0);

    check(n, "recv");
    if (n == 0) fail("the server closed a connection");
    received += (size_t)n;
  }
  if (received != response_length) fail("the responses differ in length");
}

// Reads one response by its Content-Length, to learn how long each of them is.
static void learn_response_length(int fd) {
  char buffer[4096];
  size_t received = 0;
  char* field;
  char* end;

  do {
    ssize_t n = recv(fd, buffer + received, sizeof(buffer) - 1 - received, 0);

    check(n, "recv");
    if (n == 0) fail("the server sent no response");
    received += (size_t)n;
    buffer[received] = 0;
  } while (!(end = strstr(buffer, "\r\n\r\n")));
  field = strcasestr(buffer, "\r\ncontent-length: ");
  if (!field || strncmp(buffer, "HTTP/1.1 200 ", 13) != 0) fail("the response is not a 200 with a Content-Length");
  response_length = (size_t)(end + 4 - buffer) + strtoul(field + 18, NULL, 10);
  while (received < response_length) {
    ssize_t n = recv(fd, buffer, sizeof(buffer), 0);

    check(n, "recv");
    received += (size_t)n;
  }
}

static void run_slice(const int* fds, int requests) {
  for (int i = 0; i < requests; i++) {
    receive_response(fds[i % CONNECTIONS]);
    send_request(fds[i % CONNECTIONS]);
  }
}

int main(int argc, char** argv) {
  int fds[CONNECTIONS];
  struct meter meter;

  if (argc != 5) fail("usage: load PORT PID SLICES REQUESTS <request");
  request_length = fread(request, 1, sizeof(request), stdin);
  meter_open(&meter, atoi(argv[2]));
  for (int i = 0; i < CONNECTIONS; i++) fds[i] = connect_to(atoi(argv[1]));
  send_request(fds[0]);
  learn_response_length(fds[0]);
  for (int i = 0; i < CONNECTIONS; i++) send_request(fds[i]);
  for (int slice = 0; slice < atoi(argv[3]); slice++) {
    meter_start(&meter);
    run_slice(fds, atoi(argv[4]));
    meter_print(&meter, "request", atoi(argv[4]));
  }
  for (int i = 0; i < CONNECTIONS; i++) receive_response(fds[i]);
  return 0;
}
