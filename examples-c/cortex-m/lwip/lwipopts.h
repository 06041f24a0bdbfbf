/* lwipopts.h: lwIP 2.2 as small as a device wants it. NO_SYS comes from the command line.
 *
 * TCP is used on the loopback interface only, for services behind the node: what is seen of it from
 * afar is librit's own windows (device.c). Nothing here is for another board but the sizes. */
#ifndef LWIPOPTS_H
#define LWIPOPTS_H

/* What ports/lwip needs. */
#define LWIP_UDP 1
#define LWIP_TCP 1
#define LWIP_TIMERS 1
#define LWIP_CALLBACK_API 1
#define LWIP_NETIF_LOOPBACK 1
#define LWIP_HAVE_LOOPIF 1
#define MEMP_NUM_SYS_TIMEOUT (LWIP_NUM_SYS_TIMEOUT_INTERNAL + 1)
#define MEMP_NUM_TCP_PCB 12 /* two for each connection; those in TIME_WAIT make room */
#define MEMP_NUM_UDP_PCB 1
#define LWIP_NETIF_EXT_STATUS_CALLBACK 1
#define RIT_LWIP_SEND_REF 1 /* board_net_write has copied a frame when it returns */
#define RIT_LWIP_REACH 0
#define RIT_LWIP_FLOWS 0

/* What a device here does without. */
#define LWIP_IPV6 0
#define LWIP_DHCP 0
#define LWIP_DNS 0
#define LWIP_RAW 0
#define LWIP_SOCKET 0
#define LWIP_NETCONN 0
#define IP_FRAG 0
#define IP_REASSEMBLY 0
#define ARP_QUEUEING 1

/* Memory. A frame fits into one pbuf, so that a packet is opened where it lies. */
#define MEM_ALIGNMENT 4
#define MEM_SIZE 24576
#define MEMP_NUM_PBUF 8
#define MEMP_NUM_TCP_PCB_LISTEN 1
#define MEMP_NUM_TCP_SEG 32
#define PBUF_POOL_SIZE 12
#define PBUF_POOL_BUFSIZE 1536
#define TCP_MSS 1024
#define TCP_WND (4 * TCP_MSS)
#define TCP_SND_BUF (4 * TCP_MSS)
#define TCP_SND_QUEUELEN 16

/* To see at the end that nothing is left, and the most that there was. */
#define LWIP_STATS 1
#define LINK_STATS 0
#define ETHARP_STATS 0
#define IP_STATS 0
#define ICMP_STATS 0
#define UDP_STATS 0
#define TCP_STATS 0
#define SYS_STATS 0
#define MEM_STATS 1
#define MEMP_STATS 1
#define LWIP_STATS_DISPLAY 1

#if NO_SYS
#define SYS_LIGHTWEIGHT_PROT 0
#else
#define SYS_LIGHTWEIGHT_PROT 1
#define LWIP_TCPIP_CORE_LOCKING 1
#define LWIP_NETIF_LOOPBACK_MULTITHREADING 1
#define TCPIP_MBOX_SIZE 16
#define TCPIP_THREAD_STACKSIZE 32768 /* holds a handshake */
#define TCPIP_THREAD_PRIO 3
#define LWIP_FREERTOS_SYS_NOW_FROM_FREERTOS 0 /* ticks may be lost, the clock is not */
#define LWIP_FREERTOS_CHECK_CORE_LOCKING 1
void sys_lock_tcpip_core(void);
void sys_unlock_tcpip_core(void);
void sys_mark_tcpip_thread(void);
void sys_check_core_locking(void);
#define LOCK_TCPIP_CORE() sys_lock_tcpip_core()
#define UNLOCK_TCPIP_CORE() sys_unlock_tcpip_core()
#define LWIP_MARK_TCPIP_THREAD() sys_mark_tcpip_thread()
#define LWIP_ASSERT_CORE_LOCKED() sys_check_core_locking()
#endif

#endif
