/* camera.h: what camera.c and viewer.c say to each other, and a few lines that both need. */
#ifndef CAMERA_H
#define CAMERA_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "rit_posix.h"

/* The camera offers "control": one stream, on which the viewer sends messages of this size that the
 * camera sends back. First the time of sending, then whether video is wanted. */
#define CONTROL_LEN 16

/* The viewer offers "video", to which the camera opens a stream for each frame: its number from 1
 * on, when it was made, and what the camera's encoder would have put there. */
#define FRAME_HEADER_LEN 16

/* Of the machine: an age by it is right only where both run on one. */
static inline uint64_t now_us(void) {
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static inline void put_u64(uint8_t *out, uint64_t value) {
    int i;

    for (i = 0; i < 8; i++)
        out[i] = (uint8_t)(value >> (8 * i));
}

static inline uint64_t get_u64(const uint8_t *in) {
    uint64_t value = 0;
    int i;

    for (i = 7; i >= 0; i--)
        value = value << 8 | in[i];
    return value;
}

/* A service that no socket stands behind: what comes to it comes to config.take_event. */
static inline int offer(rit_node *node, const char *name, rit_service_id *id) {
    struct rit_service service;

    memset(&service, 0, sizeof service);
    service.struct_size = (uint32_t)sizeof service;
    service.kind = RIT_SERVICE_TCP;
    service.port = 1; /* nobody connects to it */
    service.name = name;
    return rit_service_add(node, &service, id);
}

static inline void print_key(rit_posix *port) {
    uint8_t key[RIT_KEY_LEN];
    char text[RIT_KEY_TEXT_LEN];

    (void)rit_node_public_key(rit_posix_node(port), key);
    rit_key_to_text(key, text);
    printf("key %s\n", text);
    (void)fflush(stdout);
}

/* Milliseconds until then, at least 0, for rit_posix_step. */
static inline int ms_until(uint64_t then_us) {
    uint64_t now = now_us();

    return then_us > now ? (int)((then_us - now + 999u) / 1000u) : 0;
}

#endif
