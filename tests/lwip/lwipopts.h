/* lwipopts.h: lwIP as the tests build it, for hosts. NO_SYS comes from the command line, and what
 * is 0 in some builds.
 *
 * What the port needs is marked so; the rest is a choice. Sizes are those of a device with a few
 * hundred KiB for the network, but for the number of connections.
 */
#ifndef LWIPOPTS_H
#define LWIPOPTS_H

#ifndef NO_SYS
#define NO_SYS 1
#endif

/* The port needs these. */
#define LWIP_UDP 1
#define LWIP_TCP 1
#define LWIP_TIMERS 1
#define LWIP_CALLBACK_API 1
#ifndef LWIP_NETIF_LOOPBACK
#define LWIP_NETIF_LOOPBACK 1 /* for services and listeners in this lwIP */
#define LWIP_HAVE_LOOPIF 1
#endif
#define MEMP_NUM_SYS_TIMEOUT (LWIP_NUM_SYS_TIMEOUT_INTERNAL + 1)
#define MEMP_NUM_TCP_PCB 48   /* two for each bridged connection, and those that wait to be over */
#define MEMP_NUM_UDP_PCB 8    /* one for the node, one for each flow */

/* The port uses these where they are. */
#ifndef LWIP_DNS
#define LWIP_DNS 1
#endif
#ifndef LWIP_IPV6
#define LWIP_IPV6 1
#endif
#define IPV6_FRAG_COPYHEADER 1 /* pointers of 64 bits */
#ifndef LWIP_NETIF_EXT_STATUS_CALLBACK
#define LWIP_NETIF_EXT_STATUS_CALLBACK 1
#endif

/* Without: no sequential API. */
#define LWIP_SOCKET 0
#define LWIP_NETCONN 0

#define LWIP_DHCP 0
#define LWIP_RAW 1
#define LWIP_ICMP 1
#define ARP_QUEUEING 1
#define LWIP_CHKSUM_ALGORITHM 3

#ifdef RIT_LWIP_FAKE_TEST /* test_port.c has C's heap run out */
#include <stddef.h>
void *test_malloc(size_t size);
void *test_calloc(size_t count, size_t size);
void test_free(void *memory);
#define mem_clib_malloc test_malloc
#define mem_clib_calloc test_calloc
#define mem_clib_free test_free
#define TCP_MSL 5000u
#endif

/* Memory. What arrives fits into one pbuf. */
#define MEM_ALIGNMENT 8
#define MEM_SIZE (1024 * 1024)
#define MEMP_NUM_PBUF 64
#define MEMP_NUM_TCP_PCB_LISTEN 8
#define MEMP_NUM_TCP_SEG 512
#ifndef PBUF_POOL_SIZE
#define PBUF_POOL_SIZE 128
#endif
#ifndef PBUF_POOL_BUFSIZE
#define PBUF_POOL_BUFSIZE 1536
#endif
#define TCP_MSS 1460
#define TCP_WND (32 * TCP_MSS)
#define TCP_SND_BUF (32 * TCP_MSS)
#define TCP_SND_QUEUELEN (4 * TCP_SND_BUF / TCP_MSS)
#define TCP_LISTEN_BACKLOG 1

/* To see that nothing stays allocated. */
#define LWIP_STATS 1
#define MEM_STATS 1
#define MEMP_STATS 1
#define LWIP_STATS_DISPLAY 1

#define SYS_LIGHTWEIGHT_PROT !NO_SYS
#if !NO_SYS
#define LWIP_TCPIP_CORE_LOCKING 1
#define LWIP_NETIF_LOOPBACK_MULTITHREADING LWIP_NETIF_LOOPBACK
#define TCPIP_MBOX_SIZE 256
#define MEMP_NUM_TCPIP_MSG_INPKT 128 /* frames on their way to the tcpip thread; else lost */
#define TCPIP_THREAD_STACKSIZE 262144
#define DEFAULT_THREAD_STACKSIZE 65536
void sys_check_core_locked(void);
#define LWIP_ASSERT_CORE_LOCKED() sys_check_core_locked()
#endif

#endif
