/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The hooks on fork and exit, which follow the process tree of each target.
 */
#ifndef MONITOR_PROCESSES_BPF_H
#define MONITOR_PROCESSES_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
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

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	struct monitor_process *process, made = {};
	struct monitor_worker *worker;
	__u32 pid = parent->tgid, child_pid = child->tgid;

	if (child->pid != child->tgid)
		return 0; /* a thread */
	if (!is_followed(pid))
		return 0;
	process = bpf_map_lookup_elem(&processes, &pid);
	if (!process)
		return 0;
	made.target = process->target;
	if (bpf_map_pop_elem(&free_workers, &made.worker)) {
		undercount(made.target, UNDERCOUNT_PROCESSES);
		return 0;
	}
	worker = worker_at(made.worker);
	if (!worker)
		return 0;
	worker->begun = 0;
	worker->ended = 0;
	worker->pid = child_pid;
	/* The entry exists already if user space was first. */
	if (bpf_map_update_elem(&processes, &child_pid, &made, BPF_NOEXIST)) {
		bpf_map_push_elem(&free_workers, &made.worker, BPF_ANY);
		if (!bpf_map_lookup_elem(&processes, &child_pid))
			undercount(made.target, UNDERCOUNT_PROCESSES);
	}
	follow(child_pid, true);
	return 0;
}

/* Deletes the CPU sample of a process that ends. The parent's reaped time will soon include the CPU time of this
 * process: the parent's sample keeps how much of that was reported before. */
static __always_inline void end_cpu_sample(struct task_struct *task, __u32 pid)
{
	struct monitor_cpu_sample *ended = bpf_map_lookup_elem(&cpu_samples, &pid), *kept;
	__u32 parent = task->real_parent->tgid;

	if (!ended)
		return;
	kept = bpf_map_lookup_elem(&cpu_samples, &parent);
	if (kept)
		__sync_fetch_and_add(&kept->ended_ns, ended->cpu_ns + ended->reaped_ns + ended->ended_ns);
	bpf_map_delete_elem(&cpu_samples, &pid);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	struct monitor_process *process;
	__u32 pid = task->tgid, worker;

	/* Only the last thread counts. Its sockets close after this (kernel/exit.c, do_exit), which needs no entry. */
	if (task->signal->live.counter || !is_followed(pid))
		return 0;
	follow(pid, false);
	end_cpu_sample(task, pid);
	process = bpf_map_lookup_elem(&processes, &pid);
	if (!process)
		return 0;
	worker = process->worker;
	/* The last two threads can both get here: the one that deletes the entry gives the slot back. */
	if (!bpf_map_delete_elem(&processes, &pid))
		bpf_map_push_elem(&free_workers, &worker, BPF_ANY);
	return 0;
}

#endif
