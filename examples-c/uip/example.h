/* example.h: what the files of this example have in common. */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include "rit_uip.h"

/* page.c: a web page, as a service of callbacks. */
extern const struct rit_uip_callbacks page_callbacks;

/* device.c: what uIP calls for UDP. */
void example_udp_appcall(void);

/* ethernet.c: uIP on the board's Ethernet. */

/* Where the device is; addresses as bytes. 0, or -1 where there is no Ethernet. */
int ethernet_start(const uint8_t ip[4], const uint8_t netmask[4], const uint8_t router[4]);

/* One turn of the main loop: frames, uIP's timers, the node; then sleeps, if there was nothing. */
void ethernet_turn(struct rit_uip *port);

/* NULL, where uIP has one stack in global variables. */
rit_uip_stack *ethernet_stack(void);

#endif
