/* vendor.h: what the port needs of the vendor's stack and board. vendor.c has it, to be filled in.
 *
 * All of them are called from the main loop, none from an interrupt but vendor_barrier, and none may
 * wait, but for vendor_sleep_until and, at start, vendor_start and vendor_resolve.
 */
#ifndef VENDOR_H
#define VENDOR_H

#include <stddef.h>
#include <stdint.h>

/* Clocks, generator, link and address: whatever has to run before the rest. 0: it does. */
int vendor_start(void);

/* Microseconds since start, in 64 bits, never going back. */
uint64_t vendor_now_us(void);

/* Fills out with len bytes of the hardware's random number generator. 0: done. */
int vendor_random(uint8_t *out, size_t len);

/* Opens the UDP socket; port 0: any. From then on the stack calls port_on_datagram for what comes,
 * from an interrupt if it likes. 0: done. */
int vendor_udp_open(uint16_t port);

/* Sends a datagram to an IPv6 address, or an IPv4 one as ::ffff:a.b.c.d; the UDP port in host order.
 * The bytes are good during the call only. 0: taken. */
int vendor_udp_send(const uint8_t ip[16], uint16_t port, const uint8_t *bytes, size_t len);

/* The address of a host; writes it as above. 0: found. */
int vendor_resolve(const char *host, uint8_t ip[16]);

/* Storage in slots 1 to 3, each of up to 512 bytes; with rit_trust_start also 4, of up to
 * RIT_SLOT_TRUST_MAX, and 5. Reading gives the length stored last, 0 if
 * nothing ever was, negative if it cannot be read. Writing returns 0 once it is safe there; until
 * then the old content stays. */
int vendor_flash_read(uint32_t slot, uint8_t *buf, size_t cap);
int vendor_flash_write(uint32_t slot, const uint8_t *bytes, size_t len);

/* What was written before is in memory before what is written after, as interrupts and other cores
 * see it: a data memory barrier. Also called from the interrupt that receives. */
void vendor_barrier(void);

/* Interrupts off and on again. */
void vendor_lock(void);
void vendor_unlock(void);

/* Sleeps until an interrupt, but no longer than until deadline_us on the clock of vendor_now_us.
 * Called with interrupts off: one that is pending must end the sleep, as WFI has it, and is served
 * after vendor_unlock. Returning at once is right, too. Feed the watchdog here. */
void vendor_sleep_until(uint64_t deadline_us);

/* A line for people. */
void vendor_log(const char *line);

#endif
