// SPDX-License-Identifier: Apache-2.0
// A 32-bit server without a C library, compiled by the tests: `gcc -m32 -nostdlib`. It answers requests without a body,
// one connection at a time, and uses other system calls for each request in turn. Like a C library it makes them by
// __kernel_vsyscall, which takes the processor's fast entry. It prints its port.
typedef unsigned int word;

static word vsyscall;  // address of __kernel_vsyscall

static int call(word number, word a, word b, word c, word d, word e) {
  int result;

  // ebp is the sixth argument, which no call here has
  __asm__ volatile("call *%1"
                   : "=a"(result)
                   : "m"(vsyscall), "0"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
                   : "memory");
  return result;
}

enum { EXIT = 1, READ = 3, WRITE = 4, CLOSE = 6, SOCKETCALL = 102, READV = 145, WRITEV = 146 };
enum { SENDTO = 369, SENDMSG = 370, RECVFROM = 371, RECVMSG = 372 };
enum { SOCKET = 1, BIND = 2, LISTEN = 4, ACCEPT = 5, GETSOCKNAME = 6, SEND = 9, RECV = 10 };

static int socketcall(word which, word a, word b, word c, word d) {
  word arguments[4] = {a, b, c, d};

  return call(SOCKETCALL, which, (word)arguments, 0, 0, 0);
}

struct vector {
  void* base;
  word length;
};

struct message {
  void* name;
  word name_length;
  struct vector* vectors;
  word count;
  void* control;
  word control_length;
  word flags;
};

static char request[4096];
static char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
static char body[] = "ok";
static char whole[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

// Reads the next request. Returns its length, or 0 if the client has left.
static int receive(int fd, word turn) {
  struct vector vectors[2] = {{request, 7}, {request + 7, sizeof(request) - 7}};
  struct message message = {0, 0, vectors, 2, 0, 0, 0};

  switch (turn % 5) {
    case 0:
      return socketcall(RECV, fd, (word)request, sizeof(request), 0);
    case 1:
      return call(RECVFROM, fd, (word)request, sizeof(request), 0, 0);
    case 2:
      return call(READ, fd, (word)request, sizeof(request), 0, 0);
    case 3:
      return call(READV, fd, (word)vectors, 2, 0, 0);
    default:
      return call(RECVMSG, fd, (word)&message, 0, 0, 0);
  }
}

static void answer(int fd, word turn) {
  struct vector vectors[2] = {{head, sizeof(head) - 1}, {body, 2}};
  struct message message = {0, 0, vectors, 2, 0, 0, 0};

  switch (turn % 5) {
    case 0:
      socketcall(SEND, fd, (word)whole, sizeof(whole) - 1, 0);
      break;
    case 1:
      call(SENDTO, fd, (word)whole, sizeof(whole) - 1, 0, 0);
      break;
    case 2:
      call(WRITE, fd, (word)whole, sizeof(whole) - 1, 0, 0);
      break;
    case 3:
      call(WRITEV, fd, (word)vectors, 2, 0, 0);
      break;
    default:
      call(SENDMSG, fd, (word)&message, 0, 0, 0);
      break;
  }
}

static void print_port(int listener) {
  unsigned char address[16], text[6];
  word length = sizeof(address), port, at = sizeof(text);

  socketcall(GETSOCKNAME, listener, (word)address, (word)&length, 0);
  port = address[2] << 8 | address[3];
  text[--at] = '\n';
  for (; port; port /= 10) text[--at] = '0' + port % 10;
  call(WRITE, 1, (word)(text + at), sizeof(text) - at, 0, 0);
}

__attribute__((used)) static void serve(const word* stack) {
  unsigned char address[16] = {2, 0, 0, 0, 127, 0, 0, 1};
  word turn = 0;
  int listener;

  // the stack holds argc, argv, 0, the environment, 0, then the auxiliary vector (man 3 getauxval)
  stack += stack[0] + 2;
  while (*stack++)
    ;
  for (; stack[0]; stack += 2)
    if (stack[0] == 32)  // AT_SYSINFO
      vsyscall = stack[1];
  listener = socketcall(SOCKET, 2, 1, 0, 0);
  socketcall(BIND, listener, (word)address, sizeof(address), 0);
  socketcall(LISTEN, listener, 64, 0, 0);
  print_port(listener);
  for (;;) {
    int fd = socketcall(ACCEPT, listener, 0, 0, 0);

    while (receive(fd, turn) > 0) answer(fd, turn++);
    call(CLOSE, fd, 0, 0, 0, 0);
  }
}

__asm__(".globl _start\n_start:\nmov %esp, %eax\nand $-16, %esp\nsub $12, %esp\npush %eax\ncall serve\n");
