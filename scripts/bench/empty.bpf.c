// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Programs that do nothing, for the two tracepoints that a byte through TCP passes. They show what attaching alone
// costs.
#define SEC(name) __attribute__((section(name), used))

char program_license[] SEC("license") = "Dual BSD/GPL";

SEC("tp_btf/sock_send_length")
int empty_send(void* ctx) {
  (void)ctx;
  return 0;
}

SEC("tp_btf/sock_recv_length")
int empty_receive(void* ctx) {
  (void)ctx;
  return 0;
}
