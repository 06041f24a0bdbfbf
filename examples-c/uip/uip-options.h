/* uip-options.h: uIP's options, in the place of a project's uipopt.h and uip-conf.h: what uIP is
 * compiled with is told to the compiler with -include uip-options.h. */
#ifndef UIP_OPTIONS_H
#define UIP_OPTIONS_H

/* uIP's own uipopt.h is a sample for each project to edit. */
#define __UIPOPT_H__
#define UIPOPT_H_

#include <stdint.h>

typedef uint8_t u8_t;
typedef uint16_t u16_t;
typedef uint32_t u32_t;
typedef uint32_t uip_stats_t;
typedef int uip_tcp_appstate_t;
typedef int uip_udp_appstate_t;

/* The link, and the one packet buffer. */
#ifndef LINK_MTU
#define LINK_MTU 576
#endif
#define UIP_LLH_LEN 14
#define UIP_BUFSIZE (LINK_MTU + UIP_LLH_LEN)

/* For the port. */
#define UIP_UDP 1
#define UIP_UDP_CHECKSUMS 1
#define UIP_UDP_CONNS 1
#define UIP_UDP_APPCALL example_udp_appcall
#define UIP_ACTIVE_OPEN 1 /* uip_udp_new wants it */

/* uIP's TCP is not used here: one connection is the least it can have. */
#define UIP_TCP 1
#define UIP_CONNS 1
#define UIP_LISTENPORTS 1
#define UIP_APPCALL example_tcp_appcall
#define UIP_TCP_MSS (UIP_BUFSIZE - UIP_LLH_LEN - 40)
#define UIP_RECEIVE_WINDOW UIP_TCP_MSS
#define UIP_URGDATA 0
#define UIP_RTO 3
#define UIP_MAXRTX 8
#define UIP_MAXSYNRTX 5
#define UIP_TIME_WAIT_TIMEOUT 120

#define UIP_LITTLE_ENDIAN 3412
#define UIP_BIG_ENDIAN 1234
#define UIP_BYTE_ORDER UIP_LITTLE_ENDIAN
#define UIP_CONF_IPV6 0
#define UIP_FIXEDADDR 0
#define UIP_FIXEDETHADDR 0
#define UIP_PINGADDRCONF 0
#define UIP_TTL 64
#define UIP_REASSEMBLY 0
#define UIP_BROADCAST 0
#define UIP_ARPTAB_SIZE 4
#define UIP_ARP_MAXAGE 120
#define UIP_STATISTICS 0
#define UIP_LOGGING 0
#define DEBUG_PRINTF(...)

#ifndef UIP_STACK_ARGUMENT
void UIP_UDP_APPCALL(void);
void UIP_APPCALL(void);
#endif

#endif
