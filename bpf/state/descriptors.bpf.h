/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Whether a process holds a file. Not for the hot path: it searches the process's table of descriptors.
 */
#ifndef MONITOR_DESCRIPTORS_BPF_H
#define MONITOR_DESCRIPTORS_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "lib/pure.h"

/* Descriptors that a search sees. A server opens its listening sockets before it has many others. */
#define DESCRIPTORS_SEARCHED 256
/* Processes above one that are asked: a supervisor is the parent of its workers, or of the process that forks them. */
#define ANCESTORS_ASKED 4

struct descriptor_search {
	struct file **table;
	struct file *file;
	__u32 length; /* of the table */
};

static int descriptor_step(__u32 i, struct descriptor_search *search)
{
	struct file *file = NULL;

	if (i >= search->length)
		return 0;
	bpf_probe_read_kernel(&file, sizeof(file), &search->table[i]);
	return file == search->file;
}

/* Returns whether the process has a descriptor of the file: it opened the file, or got it from another process. */
static __attribute__((noinline)) bool holds_file(struct task_struct *task, struct file *file)
{
	struct descriptor_search search = {.file = file};
	struct fdtable *descriptors;

	if (!task || !file)
		return false;
	descriptors = BPF_CORE_READ(task, files, fdt);
	if (!descriptors)
		return false;
	search.table = BPF_CORE_READ(descriptors, fd);
	search.length = BPF_CORE_READ(descriptors, max_fds);
	if (search.length > DESCRIPTORS_SEARCHED)
		search.length = DESCRIPTORS_SEARCHED;
	/* the last step finds nothing, so that fewer steps mean a find */
	return bpf_loop(DESCRIPTORS_SEARCHED + 1, descriptor_step, &search, 0) <= DESCRIPTORS_SEARCHED;
}

/* Returns whether a process above the current one, up to process `root`, holds the socket's file. */
static __always_inline bool ancestor_holds(struct sock *sk, __u32 root)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct file *file = BPF_CORE_READ(sk, sk_socket, file);

	UNROLLED
	for (int i = 0; i < ANCESTORS_ASKED && (__u32)task->tgid != root; ++i) {
		task = task->real_parent;
		if (holds_file(task, file))
			return true;
	}
	return false;
}

#endif
