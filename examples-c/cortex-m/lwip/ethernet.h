/* ethernet.h: lwIP's network interface on the board's Ethernet; its clock and random numbers. */
#ifndef ETHERNET_H
#define ETHERNET_H

/* Adds the interface, as address/24; 0, or -1. In lwIP's core context, as ethernet_stop. */
int ethernet_start(const char *address, const char *gateway);
void ethernet_stop(void);

/* Gives lwIP what arrived, up to a few frames: how many. With an RTOS from any one task. */
unsigned ethernet_poll(void);

#endif
