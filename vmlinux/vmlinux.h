/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The kernel types that the BPF programs read, maintained by hand. It has only the members in use, and names the kernel
 * header that defines each type. libbpf relocates the offsets at load time (preserve_access_index). A kernel test
 * compares names and kinds with the running kernel's BTF.
 */
#ifndef __VMLINUX_H__
#define __VMLINUX_H__ /* with this name defined, libbpf uses the kernel's names for the members of pt_regs */

typedef unsigned char __u8;
typedef signed char __s8;
typedef unsigned short __u16;
typedef short __s16;
typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u32 __wsum;
typedef _Bool bool;

#define true 1
#define false 0
#define NULL ((void *)0)

/* include/uapi/linux/bpf.h */
enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_QUEUE = 22,
	BPF_MAP_TYPE_SK_STORAGE = 24,
	BPF_MAP_TYPE_RINGBUF = 27,
};

/* include/uapi/linux/stat.h */
#define S_IFMT	 0170000
#define S_IFSOCK 0140000

enum {
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
};

enum {
	BPF_F_NO_PREALLOC = 1,
	BPF_F_CLONE = 512,
};

enum {
	BPF_SK_STORAGE_GET_F_CREATE = 1,
};

/* include/net/tcp_states.h */
enum {
	TCP_ESTABLISHED = 1,
	TCP_SYN_SENT,
	TCP_SYN_RECV,
	TCP_FIN_WAIT1,
	TCP_FIN_WAIT2,
	TCP_TIME_WAIT,
	TCP_CLOSE,
	TCP_CLOSE_WAIT,
	TCP_LAST_ACK,
	TCP_LISTEN,
	TCP_CLOSING,
};

/* include/linux/socket.h */
#define AF_UNIX	 1
#define AF_INET	 2
#define AF_INET6 10
/* include/uapi/asm-generic/errno.h */
#define ENOSYS 38

#define MSG_OOB	     1
#define MSG_PEEK     2
#define MSG_TRUNC    0x20
#define MSG_ERRQUEUE 0x2000

/* include/linux/net.h, include/uapi/linux/in.h */
#define SOCK_STREAM   1
#define IPPROTO_TCP   6
#define IPPROTO_UDP   17
#define IPPROTO_MPTCP 262

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* include/linux/types.h */
typedef struct {
	int counter;
} atomic_t;

/* include/uapi/linux/in6.h */
struct in6_addr {
	union {
		__u8 u6_addr8[16];
	} in6_u;
};

/* include/linux/net.h, enum sock_shutdown_cmd */
#define SHUT_RD 0

/* include/net/sock.h: bits of sk_shutdown. RCV_SHUTDOWN is set by the peer's FIN too. */
#define RCV_SHUTDOWN  1
#define SEND_SHUTDOWN 2
#define SHUTDOWN_MASK 3

/* include/linux/ns_common.h, include/net/net_namespace.h */
struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
};

typedef struct {
	struct net *net;
} possible_net_t;

/* include/net/sock.h: a bit of sk_userlocks. bind() was given a port. */
#define SOCK_BINDPORT_LOCK 8

/* include/net/sock.h */
struct sock_common {
	possible_net_t skc_net;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	unsigned char skc_reuseport : 1;
	struct in6_addr skc_v6_rcv_saddr;
};

struct socket;

/* include/linux/skbuff.h */
struct sk_buff_head {
	__u32 qlen;
};

struct bpf_local_storage;

struct sock {
	struct sock_common __sk_common;
	struct sk_buff_head sk_receive_queue;
	__u32 sk_ack_backlog;
	__u32 sk_max_ack_backlog;
	__u8 sk_shutdown;
	__u16 sk_type;
	__u16 sk_protocol;
	struct socket *sk_socket;
	int sk_err;
	struct bpf_local_storage *sk_bpf_storage;
};

/* include/linux/fs.h */
struct inode {
	__u16 i_mode;
	unsigned long i_ino;
};

struct file {
	struct inode *f_inode;
	void *private_data;
};

/* include/linux/net.h */
struct socket {
	struct file *file;
	struct sock *sk;
};

/* include/net/inet_connection_sock.h */
struct inet_connection_sock {
	struct {
		__u32 lrcvtime; /* jiffies: time of the last data received */
	} icsk_ack;
	__u32 icsk_delack_max; /* jiffies */
};

/* include/linux/tcp.h */
struct tcp_sock {
	__u32 rcv_nxt;
	__u32 copied_seq;
	__u32 write_seq;
	__u32 lsndtime; /* jiffies: time of the last data sent */
	__u64 bytes_received;
	__u64 bytes_sent;
};

/* net/mptcp/protocol.h; kernels without Multipath TCP do not have it. state/mptcp.bpf.h declares the members that older
 * kernels lack. */
struct mptcp_sock {
	__u64 write_seq;
	struct sock *first; /* a TCP socket that this one is made of, or NULL */
};

/* include/uapi/linux/un.h */
#define UNIX_PATH_MAX 108

struct sockaddr_un {
	char sun_path[UNIX_PATH_MAX];
};

/* include/net/af_unix.h */
struct unix_address {
	int len; /* bytes of the name, including sun_family */
	struct sockaddr_un name[];
};

struct unix_sock {
	struct unix_address *addr; /* NULL if unnamed; an accepted socket shares its listener's */
	struct sock *peer;
};

/* include/linux/fdtable.h */
struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

/* include/linux/sched/signal.h */
struct signal_struct {
	atomic_t live;
};

/* include/linux/sched.h */
struct thread_info {
	__u32 status;
};

struct task_struct {
	struct thread_info thread_info;
	void *stack;
	int pid;
	int tgid;
	struct task_struct *real_parent;
	struct files_struct *files;
	struct signal_struct *signal;
};

/* arch/x86/include/asm/ptrace.h */
struct pt_regs {
	unsigned long bx;
	unsigned long cx;
	unsigned long di;
	unsigned long si;
	unsigned long dx;
	unsigned long r10;
	unsigned long r8;
	unsigned long ax;
	unsigned long orig_ax;
};

/* include/linux/bpf.h, kernel/bpf/task_iter.c, net/core/bpf_sk_storage.c: contexts of iterators */
struct seq_file;
struct bpf_map;

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 session_id;
	__u64 seq_num;
};

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	__u32 fd;
	struct file *file;
};

struct bpf_iter__bpf_sk_storage_map {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	struct sock *sk;
	void *value;
};

struct bpf_iter__bpf_map_elem {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	void *key;
	void *value;
};

/* include/linux/types.h; it has a pointer at offset 0, so it also serves to follow a kernel pointer whose type is lost
 */
struct list_head {
	struct list_head *next;
};

#pragma clang attribute pop

/* kernel/bpf/helpers.c, since 6.2: casts to a read-only pointer to that BTF type. The verifier removes the call. */
#ifndef MONITOR_NO_KERNEL_FUNCTIONS
void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __attribute__((section(".ksyms"), weak));
#else
#define bpf_rdonly_cast(obj, btf_id) ((void *)(obj)) /* the programs that use it are then not loaded */
#endif

/* include/uapi/linux/uio.h: struct iovec in user memory. The ABI fixes the layout, so it is not relocated. */
struct user_iovec {
	__u64 iov_base;
	__u64 iov_len;
};

/* include/linux/socket.h: struct user_msghdr of a 64-bit process */
struct user_message {
	__u64 msg_name;
	__u32 msg_namelen;
	__u32 padding;
	__u64 msg_iov;
	__u64 msg_iovlen;
	__u64 msg_control;
	__u64 msg_controllen;
	__u32 msg_flags;
	__u32 padding_too;
};

/* include/linux/socket.h: struct mmsghdr of a 64-bit process */
struct user_messages {
	struct user_message header;
	__u32 length; /* bytes received or sent; the kernel writes it when the message is done */
	__u32 padding;
};

/* include/linux/compat.h, include/net/compat.h: the same three of a 32-bit process */
struct user_iovec32 {
	__u32 iov_base;
	__u32 iov_len;
};

struct user_message32 {
	__u32 msg_name;
	__u32 msg_namelen;
	__u32 msg_iov;
	__u32 msg_iovlen;
	__u32 msg_control;
	__u32 msg_controllen;
	__u32 msg_flags;
};

struct user_messages32 {
	struct user_message32 header;
	__u32 length;
};

#endif
