/* camera.c: a camera whose video follows what the link carries, with a control channel beside it.
 *
 *   camera --state DIR --broker URI [--enrol CODE] --allow KEY [--most KBIT]
 *
 * KEY is the viewer's (viewer.c). The video is synthetic: 30 frames a second, of as many bytes as
 * an encoder told the same rate would make, a larger key frame every two seconds, and no more than
 * --most (50000). What is to be seen:
 *
 *   - Before each frame rit_session_pipe says how full the pipe is, and the rate follows (steer).
 *   - A frame is a stream with a deadline: what cannot be there in time is given up as a whole, by
 *     the library, and never queued in front of newer frames. A flow (UDP) drops late datagrams as
 *     well, but a lost one costs the frame, where a stream has the time to repeat it.
 *   - The control stream is more urgent than all video, so it waits for none of it here; and as the
 *     delay-bounded controller keeps the queues on the way short, it waits little there.
 */
#define _POSIX_C_SOURCE 200809L

#include <signal.h>
#include <stdlib.h>

#include "camera.h"

#define FRAMES_PER_S 30
#define FRAME_US (1000000u / FRAMES_PER_S)
#define KEY_FRAME_EVERY 60
#define KEY_FRAME_SIZE 3       /* times that of others */
#define DEADLINE_US 200000u    /* a later frame would be seen as a freeze already */
#define TARGET_US 8000u        /* what the library may let queue on the way */
#define LOW_US 20000u          /* delays below it are small: there may be more room */
#define HIGH_US 45000u         /* above it the pipe is full */
#define SHARE 0.8              /* of what a full pipe drains that the video is to have */
#define FALL 0.85              /* a frame's rate to that of the one before, at the least */
#define RISE 1.03              /* and at the most: twice as much after 0.8 s */
#define FIRST_RISE 1.08        /* before it is known what the path carries */
#define LEAST_RATE 12500.0     /* bytes a second: 100 kbit/s */
#define MOST_FRAME (512u * 1024u)
#define HANDLES 16             /* frames whose deadline may not be over yet, and some */

static volatile sig_atomic_t is_stopped;

struct camera {
    rit_node *node;
    rit_session session; /* with the viewer; 0: none */
    rit_service_id control_service;
    rit_stream control;
    uint8_t message[CONTROL_LEN];
    size_t message_len; /* of it that came so far */
    int is_wanted;      /* video, by the last message */
    int is_full;        /* the pipe, by the last event */
    int was_full;       /* ever in this session */
    double rate, most;  /* bytes a second */
    uint64_t frame, next_us;
    unsigned until_key; /* frames until the next key frame */
    rit_stream frames[HANDLES];
    unsigned long skipped, expired;
};

static void on_signal(int number) {
    (void)number;
    is_stopped = 1;
}

static int usage(void) {
    fputs("usage: camera --state DIR --broker URI [--enrol CODE] --allow KEY [--most KBIT]\n",
          stderr);
    return 2;
}

static int failed(const char *what, int error) {
    fprintf(stderr, "camera: %s: %s\n", what, rit_posix_strerror(error));
    return 1;
}

/* ---- video */

/* The rate for the next frames. drain_rate says what the path carries only while it is full;
 * otherwise it is what was sent, and the way to learn of more room is to try a little more. Step by
 * step either way: a path that stalls for a moment is as fast as before after it, and what it
 * cannot take meanwhile is skipped. */
static void steer(struct camera *camera, const struct rit_pipe *pipe) {
    double most = SHARE * (double)pipe->drain_rate;

    if (camera->is_full || pipe->delay_us > HIGH_US) {
        if (camera->rate > most)
            camera->rate = camera->rate * FALL > most ? camera->rate * FALL : most;
        camera->was_full = 1;
    } else if (pipe->delay_us < LOW_US) {
        camera->rate *= camera->was_full ? RISE : FIRST_RISE;
    }
    if (camera->rate > camera->most)
        camera->rate = camera->most;
    if (camera->rate < LEAST_RATE)
        camera->rate = LEAST_RATE;
}

/* What the encoder makes: a header, and as many bytes as the rate has for it. */
static size_t encode(struct camera *camera, uint8_t *out, uint64_t now) {
    double size = camera->rate / FRAMES_PER_S * KEY_FRAME_EVERY /
                  (KEY_FRAME_EVERY - 1 + KEY_FRAME_SIZE);
    size_t len;

    if (camera->until_key == 0) {
        size *= KEY_FRAME_SIZE;
        camera->until_key = KEY_FRAME_EVERY;
    }
    camera->until_key--;
    len = size > MOST_FRAME ? MOST_FRAME : (size_t)size;
    len = len < FRAME_HEADER_LEN ? FRAME_HEADER_LEN : len;
    put_u64(out, ++camera->frame);
    put_u64(out + 8, now);
    return len;
}

static int send_frame(struct camera *camera, rit_stream stream, const uint8_t *frame, size_t len) {
    size_t written = 0;
    int error = rit_stream_set_priority(camera->node, stream, 7, 0);

    if (error == RIT_OK)
        error = rit_stream_set_deadline(camera->node, stream, DEADLINE_US);
    if (error == RIT_OK)
        error = rit_stream_write(camera->node, stream, frame, len, &written);
    if (error == RIT_OK && written < len) /* larger than the port's stream_send_buffer */
        error = RIT_ERR_AGAIN;
    return error == RIT_OK ? rit_stream_finish(camera->node, stream) : error;
}

static void make_frame(struct camera *camera) {
    static uint8_t frame[MOST_FRAME];
    rit_stream *stream = &camera->frames[camera->frame % HANDLES];
    struct rit_pipe pipe;

    memset(&pipe, 0, sizeof pipe);
    pipe.struct_size = (uint32_t)sizeof pipe;
    if (rit_session_pipe(camera->node, camera->session, &pipe) != RIT_OK)
        return;
    steer(camera, &pipe);
    /* While the last frames still wait, the best that can be done for the next is to make it later
     * and of newer light. */
    if (pipe.queued_bytes > 0 && (double)pipe.queued_bytes > camera->rate / FRAMES_PER_S) {
        camera->skipped++;
        return;
    }
    if (*stream != 0)
        (void)rit_stream_release(camera->node, *stream);
    *stream = 0;
    if (rit_stream_open(camera->node, camera->session, "video", stream) != RIT_OK)
        return;
    if (send_frame(camera, *stream, frame, encode(camera, frame, now_us())) != RIT_OK)
        (void)rit_stream_reset(camera->node, *stream, 0);
    if (camera->frame % FRAMES_PER_S == 0) {
        printf("video %.0f kbit/s, drains %.0f kbit/s, delay %.0f ms, skipped %lu, expired %lu\n",
               camera->rate / 125, (double)pipe.drain_rate / 125, (double)pipe.delay_us / 1000,
               camera->skipped, camera->expired);
        (void)fflush(stdout);
    }
}

/* ---- control */

/* Sends back what came. Its few bytes always fit: the viewer has 20 messages a second under way. */
static void echo(struct camera *camera) {
    uint8_t bytes[CONTROL_LEN * 64];
    size_t len = 0, written, i;

    while (rit_stream_read(camera->node, camera->control, bytes, sizeof bytes, &len) == RIT_OK &&
           len > 0) {
        (void)rit_stream_write(camera->node, camera->control, bytes, len, &written);
        for (i = 0; i < len; i++) {
            camera->message[camera->message_len++] = bytes[i];
            if (camera->message_len == CONTROL_LEN) {
                camera->is_wanted = get_u64(camera->message + 8) != 0;
                camera->message_len = 0;
            }
        }
    }
}

static void begin_control(struct camera *camera, const struct rit_event *event) {
    camera->control = event->stream;
    camera->message_len = 0;
    (void)rit_stream_accept(camera->node, event->stream);
    (void)rit_stream_set_priority(camera->node, event->stream, 0, 1);
    echo(camera);
}

/* ---- what happens */

static void begin_session(struct camera *camera, rit_session session) {
    camera->session = session;
    camera->rate = 4 * LEAST_RATE;
    camera->is_wanted = camera->is_full = camera->was_full = 0;
    camera->until_key = 0;
    memset(camera->frames, 0, sizeof camera->frames);
    (void)rit_session_set_congestion(camera->node, session, RIT_CONGESTION_DELAY_BOUNDED,
                                     TARGET_US);
    (void)rit_session_watch(camera->node, session, LOW_US, HIGH_US);
}

/* A frame whose deadline passed: what follows cannot be decoded without it. */
static void on_expired(struct camera *camera) {
    camera->expired++;
    camera->until_key = 0;
}

static int is_frame(const struct camera *camera, rit_stream stream) {
    int i;

    for (i = 0; i < HANDLES; i++) {
        if (camera->frames[i] == stream)
            return 1;
    }
    return 0;
}

/* config.take_event */
static int take_event(void *ctx, const struct rit_event *event) {
    struct camera *camera = ctx;

    if (event->type == RIT_EVENT_SESSION_UP && camera->session == 0)
        begin_session(camera, event->session);
    if (event->type == RIT_EVENT_SESSION_DOWN && event->session == camera->session)
        camera->session = camera->control = 0; /* and all streams are stale */
    if (event->type == RIT_EVENT_SESSION_PIPE)
        camera->is_full = event->code == 1;
    if (event->type == RIT_EVENT_STREAM_INCOMING && event->service == camera->control_service &&
        event->session == camera->session && camera->control == 0) {
        begin_control(camera, event);
        return 1;
    }
    if (event->type == RIT_EVENT_STREAM_READABLE && event->stream == camera->control) {
        echo(camera);
        return 1;
    }
    if (event->type >= RIT_EVENT_STREAM_OPENED && event->type <= RIT_EVENT_STREAM_EXPIRED &&
        (event->stream == camera->control || is_frame(camera, event->stream))) {
        if (event->type == RIT_EVENT_STREAM_EXPIRED)
            on_expired(camera);
        if (event->type == RIT_EVENT_STREAM_REFUSED)
            printf("the viewer: %s\n", rit_strerror(event->error));
        return 1;
    }
    return 0;
}

static int run(struct camera *camera, rit_posix *port) {
    struct rit_posix_event event;
    int error = 0;

    camera->next_us = now_us();
    while (error == 0 && !is_stopped) {
        error = rit_posix_step(port, ms_until(camera->next_us));
        while (rit_posix_next(port, &event)) {
            if (event.type == RIT_POSIX_BROKER_ONLINE)
                printf("online\n");
            if (event.type == RIT_POSIX_ENROL_REFUSED)
                return failed("the broker", event.error);
            (void)fflush(stdout);
        }
        if (now_us() < camera->next_us)
            continue;
        camera->next_us += FRAME_US;
        if (camera->next_us < now_us()) /* the machine slept */
            camera->next_us = now_us() + FRAME_US;
        if (camera->session != 0 && camera->is_wanted)
            make_frame(camera);
    }
    return error == 0 ? 0 : failed("the loop ended", error);
}

int main(int argc, char **argv) {
    static struct camera camera;
    struct rit_posix_config config = {0};
    const char *broker = NULL, *code = NULL, *viewer = NULL;
    uint8_t key[RIT_KEY_LEN];
    rit_posix *port;
    int error, i, status;

    camera.most = 50000 * 125.0;
    for (i = 1; i < argc; i += 2) {
        const char *option = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (value == NULL)
            return usage();
        if (strcmp(option, "--state") == 0)
            config.state_dir = value;
        else if (strcmp(option, "--broker") == 0)
            broker = value;
        else if (strcmp(option, "--enrol") == 0)
            code = value;
        else if (strcmp(option, "--allow") == 0)
            viewer = value;
        else if (strcmp(option, "--most") != 0 || (camera.most = strtod(value, NULL) * 125) <= 0)
            return usage();
    }
    if (config.state_dir == NULL || broker == NULL || viewer == NULL)
        return usage();
    config.take_event = take_event;
    config.event_ctx = &camera;
    port = rit_posix_new(&config, &error);
    if (port == NULL)
        return failed(config.state_dir, error);
    camera.node = rit_posix_node(port);
    error = rit_key_from_text(viewer, key);
    if (error == 0)
        error = rit_peer_allow(camera.node, key);
    if (error == 0)
        error = offer(camera.node, "control", &camera.control_service);
    if (error == 0)
        error = rit_posix_broker(port, broker, code);
    print_key(port);
    (void)signal(SIGINT, on_signal);
    (void)signal(SIGTERM, on_signal);
    status = error != 0 ? failed(broker, error) : run(&camera, port);
    rit_posix_free(port);
    return status;
}
