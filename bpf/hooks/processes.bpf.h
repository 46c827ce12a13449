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

#include "account/handover.bpf.h"
#include "account/processes.bpf.h"
#include "state/counters.bpf.h"
#include "state/maps.bpf.h"

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 pid = parent->tgid, child_pid = child->tgid;
	struct monitor_process *process;

	if (child->pid != child->tgid)
		return 0; /* a thread */
	if (!is_followed(pid))
		return 0;
	process = bpf_map_lookup_elem(&processes, &pid);
	if (process)
		process_add(process->target, child_pid, false);
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
	note_root_end(process->target, pid);
	/* The last two threads can both get here: the one that deletes the entry gives the slot back. */
	if (!bpf_map_delete_elem(&processes, &pid))
		bpf_map_push_elem(&free_workers, &worker, BPF_ANY);
	return 0;
}

#endif
