/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Adds a process to a target.
 */
#ifndef MONITOR_ACCOUNT_PROCESSES_BPF_H
#define MONITOR_ACCOUNT_PROCESSES_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <monitor/abi.h>

#include "account/undercount.bpf.h"
#include "state/counters.bpf.h"
#include "state/maps.bpf.h"

static __always_inline void follow(__u32 pid, bool on)
{
	__u64 word = pid >> 6, bit = 1ULL << (pid & 63);

	if (word >= MONITOR_MAX_PID / 64)
		return;
	if (on)
		__sync_fetch_and_or(&followed[word], bit);
	else
		__sync_fetch_and_and(&followed[word], ~bit);
}

/* Makes the entry of process `pid`, unless it exists: user space can be first. `joined`: see struct monitor_process.
 * Returns whether it exists now. */
static __attribute__((noinline)) bool process_add(__u32 target, __u32 pid, bool joined)
{
	struct monitor_process made = {.target = target, .joined = joined};
	struct monitor_worker *worker;

	if (bpf_map_pop_elem(&free_workers, &made.worker)) {
		undercount(target, UNDERCOUNT_PROCESSES);
		return false;
	}
	worker = worker_at(made.worker);
	if (!worker)
		return false;
	worker->begun = 0;
	worker->ended = 0;
	worker->pid = pid;
	if (bpf_map_update_elem(&processes, &pid, &made, BPF_NOEXIST)) {
		bpf_map_push_elem(&free_workers, &made.worker, BPF_ANY);
		if (!bpf_map_lookup_elem(&processes, &pid)) {
			undercount(target, UNDERCOUNT_PROCESSES);
			return false;
		}
	}
	follow(pid, true);
	return true;
}

#endif
