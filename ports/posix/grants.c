/* grants.c: chains of grants by which devices may be used, one for each device.
 *
 * Owns copies of them. What they say, the device decides.
 */
#define _POSIX_C_SOURCE 200809L

#include <stdlib.h>
#include <string.h>

#include "internal.h"

static struct ritp_grant **find(struct rit_posix *port, const uint8_t *device) {
    struct ritp_grant **at = &port->grants;

    while (*at != NULL && memcmp((*at)->device, device, RIT_KEY_LEN) != 0)
        at = &(*at)->next;
    return at;
}

int rit_posix_set_grant(rit_posix *port, const uint8_t device[RIT_KEY_LEN], const uint8_t *chain,
                        size_t len) {
    struct ritp_grant *grant = NULL, **at;

    if (port == NULL || device == NULL || (chain == NULL && len > 0))
        return RIT_ERR_NULL;
    if (len > RIT_CHAIN_MAX)
        return RIT_ERR_ARG;
    if (len > 0) {
        grant = malloc(sizeof *grant);
        if (grant == NULL)
            return RIT_ERR_NOMEM;
        memcpy(grant->device, device, RIT_KEY_LEN);
        memcpy(grant->chain, chain, len);
        grant->len = len;
    }
    at = find(port, device);
    /* Whom the device refused it may let in with another one. */
    if (*at == NULL ? len > 0
                    : (*at)->len != len || (len > 0 && memcmp((*at)->chain, chain, len) != 0))
        ritp_try_now(port, device);
    if (*at != NULL) {
        struct ritp_grant *old = *at;
        *at = old->next;
        free(old);
    }
    if (grant != NULL) {
        grant->next = port->grants;
        port->grants = grant;
    }
    return 0;
}

void ritp_add_grant(struct rit_posix *port, struct rit_target *target) {
    const struct ritp_grant *grant = *find(port, target->device);

    if (grant != NULL) {
        target->chain = grant->chain;
        target->chain_len = grant->len;
    }
}

void ritp_free_grants(struct rit_posix *port) {
    while (port->grants != NULL) {
        struct ritp_grant *next = port->grants->next;
        free(port->grants);
        port->grants = next;
    }
}
