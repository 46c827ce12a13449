// SPDX-License-Identifier: Apache-2.0
// Attaches the programs of a BPF object for as long as standard input is open, and prints a line as soon as they are
// attached. Usage: empty OBJECT.
#include <bpf/libbpf.h>
#include <stdio.h>

static int fail(const char* what) {
  perror(what);
  return 1;
}

int main(int argc, char** argv) {
  struct bpf_object* object = argc == 2 ? bpf_object__open(argv[1]) : NULL;
  struct bpf_program* program;

  if (!object) return fail("open");
  if (bpf_object__load(object) != 0) return fail("load");
  bpf_object__for_each_program(program, object) {
    if (!bpf_program__attach(program)) return fail("attach");
  }
  puts("attached");
  fflush(stdout);
  while (getchar() != EOF) {
  }
  return 0;  // the kernel detaches what the process held
}
