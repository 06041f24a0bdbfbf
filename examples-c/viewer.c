/* viewer.c: what watches a camera (camera.c), and measures what its user would notice.
 *
 *   viewer --state DIR --key
 *   viewer --state DIR --broker URI [--enrol CODE] [--before S] [--seconds S] CAMERA
 *
 * CAMERA is its key. The control channel runs alone for --before seconds (5), then beside the video
 * for --seconds (15). A frame is shown when all of it is there, unless a newer one was: that one is
 * late. More than 200 ms between two shown frames is a freeze. Ages are by the camera's clock, so
 * that they are right only where both run on one machine. Prints one line of JSON at the end.
 */
#define _POSIX_C_SOURCE 200809L

#include <signal.h>
#include <stdlib.h>

#include "camera.h"

#define CONTROL_EVERY_US 50000u
#define FREEZE_US 200000u
#define FRAMES_MAX 64     /* on their way at once */
#define SAMPLES_MAX 65536 /* later ones are not counted: half an hour of frames */

struct samples {
    uint32_t us[SAMPLES_MAX];
    size_t count;
};

struct frame {
    rit_stream stream; /* 0: an empty place */
    uint8_t header[FRAME_HEADER_LEN];
    size_t len;
};

struct viewer {
    rit_node *node;
    uint8_t device[RIT_KEY_LEN];
    rit_session session;
    rit_stream control;
    rit_service_id video_service;
    int error; /* why it is over */
    uint64_t began_us, video_us, end_us, next_us; /* 0: not yet */
    uint8_t message[CONTROL_LEN];
    size_t message_len;
    struct frame frames[FRAMES_MAX];
    uint64_t shown, shown_us; /* the newest frame, and when it was */
    unsigned long arrived, lost, late, freezes;
    uint64_t longest_us, bytes;
};

static struct samples before, with_video, ages;

static int usage(void) {
    fputs("usage: viewer --state DIR --key\n"
          "       viewer --state DIR --broker URI [--enrol CODE] [--before S] [--seconds S] "
          "CAMERA\n", stderr);
    return 2;
}

static int failed(const char *what, int error) {
    fprintf(stderr, "viewer: %s: %s\n", what, rit_posix_strerror(error));
    return 1;
}

/* ---- measuring */

static void add(struct samples *samples, uint64_t us) {
    if (samples->count < SAMPLES_MAX)
        samples->us[samples->count++] = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

static int compare(const void *a, const void *b) {
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

    return (left > right) - (left < right);
}

/* In milliseconds; 0 if there is none. */
static double percentile(struct samples *samples, unsigned percent) {
    if (samples->count == 0)
        return 0;
    qsort(samples->us, samples->count, sizeof samples->us[0], compare);
    return (double)samples->us[(samples->count - 1) * percent / 100] / 1000;
}

static void print_results(struct viewer *viewer) {
    double seconds = (double)(viewer->end_us - viewer->video_us) / 1e6;

    printf("{\"arrived\": %lu, \"lost\": %lu, \"late\": %lu, \"freezes\": %lu, "
           "\"longest_gap_ms\": %.1f, ",
           viewer->arrived, viewer->lost, viewer->late, viewer->freezes,
           (double)viewer->longest_us / 1000);
    printf("\"age_median_ms\": %.1f, \"age_p95_ms\": %.1f, ", percentile(&ages, 50),
           percentile(&ages, 95));
    printf("\"control_before\": %zu, \"control_before_median_ms\": %.1f, "
           "\"control_before_p95_ms\": %.1f, ",
           before.count, percentile(&before, 50), percentile(&before, 95));
    printf("\"control\": %zu, \"control_median_ms\": %.1f, \"control_p95_ms\": %.1f, ",
           with_video.count, percentile(&with_video, 50), percentile(&with_video, 95));
    printf("\"bytes_per_s\": %.0f, \"from_us\": %llu, \"to_us\": %llu}\n",
           (double)viewer->bytes / seconds, (unsigned long long)viewer->video_us,
           (unsigned long long)viewer->end_us);
}

/* ---- video */

static void show(struct viewer *viewer, const uint8_t *header, uint64_t now) {
    uint64_t number = get_u64(header), gap = now - viewer->shown_us;

    viewer->arrived++;
    add(&ages, now - get_u64(header + 8));
    if (number <= viewer->shown) {
        viewer->late++;
        return;
    }
    if (viewer->shown_us != 0) {
        viewer->freezes += gap > FREEZE_US;
        viewer->longest_us = gap > viewer->longest_us ? gap : viewer->longest_us;
    }
    viewer->shown = number;
    viewer->shown_us = now;
}

static struct frame *find(struct viewer *viewer, rit_stream stream) {
    int i;

    for (i = 0; i < FRAMES_MAX; i++) {
        if (viewer->frames[i].stream == stream)
            return &viewer->frames[i];
    }
    return NULL;
}

/* Reads what is there; at its end a frame is shown. */
static void read_frame(struct viewer *viewer, struct frame *frame) {
    static uint8_t bytes[65536];
    size_t len = 0, i;
    int error;

    while ((error = rit_stream_read(viewer->node, frame->stream, bytes, sizeof bytes, &len)) ==
               RIT_OK && len > 0) {
        viewer->bytes += len;
        for (i = 0; i < len && frame->len + i < FRAME_HEADER_LEN; i++)
            frame->header[frame->len + i] = bytes[i];
        frame->len += len;
    }
    if (error == RIT_ERR_AGAIN)
        return;
    if (error == RIT_OK && frame->len >= FRAME_HEADER_LEN)
        show(viewer, frame->header, now_us());
    else
        viewer->lost++; /* given up by the camera, as its deadline passed */
    (void)rit_stream_release(viewer->node, frame->stream);
    frame->stream = 0;
}

static void begin_frame(struct viewer *viewer, rit_stream stream) {
    struct frame *frame = find(viewer, 0);

    if (frame == NULL) {
        (void)rit_stream_refuse(viewer->node, stream, RIT_REFUSED_LIMIT);
        return;
    }
    frame->stream = stream;
    frame->len = 0;
    (void)rit_stream_accept(viewer->node, stream);
    (void)rit_stream_finish(viewer->node, stream); /* nothing is said to it */
    read_frame(viewer, frame);
}

/* ---- control */

static void take_answers(struct viewer *viewer) {
    uint8_t bytes[CONTROL_LEN * 64];
    size_t len = 0, i;

    while (rit_stream_read(viewer->node, viewer->control, bytes, sizeof bytes, &len) == RIT_OK &&
           len > 0) {
        for (i = 0; i < len; i++) {
            viewer->message[viewer->message_len++] = bytes[i];
            if (viewer->message_len < CONTROL_LEN)
                continue;
            viewer->message_len = 0;
            add(get_u64(viewer->message + 8) != 0 ? &with_video : &before,
                now_us() - get_u64(viewer->message));
        }
    }
}

static void ask(struct viewer *viewer, uint64_t now) {
    uint8_t message[CONTROL_LEN];
    size_t written;

    put_u64(message, now);
    put_u64(message + 8, now >= viewer->video_us);
    (void)rit_stream_write(viewer->node, viewer->control, message, sizeof message, &written);
    viewer->next_us = now + CONTROL_EVERY_US;
}

/* ---- what happens */

static void begin_session(struct viewer *viewer) {
    viewer->error = rit_stream_open(viewer->node, viewer->session, "control", &viewer->control);
    if (viewer->error == RIT_OK)
        viewer->error = rit_stream_set_priority(viewer->node, viewer->control, 0, 1);
    viewer->began_us = viewer->next_us = now_us();
}

/* config.take_event */
static int take_event(void *ctx, const struct rit_event *event) {
    struct viewer *viewer = ctx;
    struct frame *frame;

    if (event->type == RIT_EVENT_SESSION_UP && event->session == viewer->session)
        begin_session(viewer);
    if (event->type == RIT_EVENT_SESSION_DOWN && event->session == viewer->session)
        viewer->error = event->error != RIT_OK ? event->error : RIT_ERR_CLOSED;
    if (event->type < RIT_EVENT_STREAM_INCOMING || event->type > RIT_EVENT_STREAM_EXPIRED)
        return 0;
    frame = find(viewer, event->stream);
    if (event->type == RIT_EVENT_STREAM_INCOMING && event->service == viewer->video_service)
        begin_frame(viewer, event->stream);
    else if (event->stream == viewer->control && event->type == RIT_EVENT_STREAM_READABLE)
        take_answers(viewer);
    else if (event->stream == viewer->control && event->type == RIT_EVENT_STREAM_REFUSED)
        viewer->error = event->error;
    else if (frame != NULL && (event->type == RIT_EVENT_STREAM_READABLE ||
                               event->type == RIT_EVENT_STREAM_RESET))
        read_frame(viewer, frame);
    return 1;
}

static void open_session(struct viewer *viewer) {
    struct rit_target target;

    memset(&target, 0, sizeof target);
    target.struct_size = (uint32_t)sizeof target;
    memcpy(target.device, viewer->device, RIT_KEY_LEN);
    viewer->error = rit_session_open(viewer->node, &target, &viewer->session);
}

static int run(struct viewer *viewer, rit_posix *port, double alone_s, double video_s) {
    struct rit_posix_event event;
    uint64_t now = 0;
    int error = 0;

    while (error == 0 && viewer->error == 0 && (viewer->began_us == 0 || now < viewer->end_us)) {
        error = rit_posix_step(port, viewer->next_us != 0 ? ms_until(viewer->next_us) : 1000);
        while (rit_posix_next(port, &event)) {
            if (event.type == RIT_POSIX_BROKER_ONLINE && viewer->session == 0)
                open_session(viewer);
            if (event.type == RIT_POSIX_ENROL_REFUSED)
                error = event.error;
        }
        now = now_us();
        if (viewer->began_us == 0)
            continue;
        viewer->video_us = viewer->began_us + (uint64_t)(alone_s * 1e6);
        viewer->end_us = viewer->video_us + (uint64_t)(video_s * 1e6);
        if (now >= viewer->next_us)
            ask(viewer, now);
    }
    if (error == 0)
        error = viewer->error;
    if (error != 0)
        return failed("it ended early", error);
    print_results(viewer);
    return 0;
}

int main(int argc, char **argv) {
    static struct viewer viewer;
    struct rit_posix_config config = {0};
    const char *broker = NULL, *code = NULL;
    double alone_s = 5, video_s = 15;
    rit_posix *port;
    int error, i, shows_key = 0, status = 0;

    for (i = 1; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
        const char *option = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(option, "--key") == 0) {
            shows_key = 1;
            continue;
        }
        if (value == NULL)
            return usage();
        if (strcmp(option, "--state") == 0)
            config.state_dir = value;
        else if (strcmp(option, "--broker") == 0)
            broker = value;
        else if (strcmp(option, "--enrol") == 0)
            code = value;
        else if (strcmp(option, "--before") == 0)
            alone_s = strtod(value, NULL);
        else if (strcmp(option, "--seconds") == 0)
            video_s = strtod(value, NULL);
        else
            return usage();
        i++;
    }
    if (config.state_dir == NULL || (!shows_key && (broker == NULL || argc - i != 1)))
        return usage();
    config.take_event = take_event;
    config.event_ctx = &viewer;
    port = rit_posix_new(&config, &error);
    if (port == NULL)
        return failed(config.state_dir, error);
    viewer.node = rit_posix_node(port);
    if (shows_key) {
        print_key(port);
    } else {
        error = rit_key_from_text(argv[i], viewer.device);
        if (error == 0) /* which may use what is offered here: nobody else */
            error = rit_peer_allow(viewer.node, viewer.device);
        if (error == 0)
            error = offer(viewer.node, "video", &viewer.video_service);
        if (error == 0)
            error = rit_posix_broker(port, broker, code);
        status = error != 0 ? failed(argv[i], error) : run(&viewer, port, alone_s, video_s);
    }
    rit_posix_free(port);
    return status;
}
