// SPDX-License-Identifier: Apache-2.0
// Measures a process: its CPU time and, on machines whose performance counters are accessible, its instructions.
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <linux/perf_event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct meter {
  clockid_t clock;
  int instructions;  // descriptor of the counter; -1 where the machine has none
  double cpu_before;
  uint64_t instructions_before;
};

static inline void check(long result, const char* what) {
  if (result < 0) {
    perror(what);
    exit(1);
  }
}

static inline double meter_cpu(const struct meter* meter) {
  struct timespec t;

  check(clock_gettime(meter->clock, &t), "clock_gettime");
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static inline uint64_t meter_instructions(const struct meter* meter) {
  uint64_t count = 0;

  if (meter->instructions >= 0)
    check(read(meter->instructions, &count, sizeof(count)), "read of the instruction counter");
  return count;
}

// The clock measures the CPU time of all threads of `pid`. The counter counts the instructions of its main thread, in
// user space and in the kernel.
static inline void meter_open(struct meter* meter, pid_t pid) {
  struct perf_event_attr attr = {
      .type = PERF_TYPE_HARDWARE, .size = sizeof(attr), .config = PERF_COUNT_HW_INSTRUCTIONS, .exclude_hv = 1};

  check(-clock_getcpuclockid(pid, &meter->clock), "clock_getcpuclockid");
  meter->instructions = (int)syscall(SYS_perf_event_open, &attr, pid, -1, -1, 0);
}

static inline void meter_start(struct meter* meter) {
  meter->instructions_before = meter_instructions(meter);
  meter->cpu_before = meter_cpu(meter);
}

// Prints nanoseconds and instructions per operation since meter_start(). Prints 0 instructions if they cannot be
// counted.
static inline void meter_print(const struct meter* meter, const char* what, int operations) {
  double cpu = meter_cpu(meter) - meter->cpu_before;
  uint64_t instructions = meter_instructions(meter) - meter->instructions_before;

  printf("%s %.2f %.2f\n", what, cpu / operations, (double)instructions / operations);
}

#endif
