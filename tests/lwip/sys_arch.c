/* sys_arch.c: what lwIP asks of an operating system, by POSIX threads; for the tests' builds with
 * NO_SYS 0. Owns nothing but what is allocated for each object. */
#define _GNU_SOURCE

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "lwip/sys.h"
#include "lwip/tcpip.h"

struct sys_sem {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    unsigned count;
};

struct sys_mutex {
    pthread_mutex_t mutex;
    pthread_t owner;
    int is_held;
};

struct sys_mbox {
    pthread_mutex_t mutex;
    pthread_cond_t not_empty, not_full;
    int size, at, count;
    void *messages[];
};

static void *must(void *memory) {
    if (memory == NULL)
        abort();
    return memory;
}

static void init_cond(pthread_cond_t *cond) {
    pthread_condattr_t how;

    pthread_condattr_init(&how);
    pthread_condattr_setclock(&how, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &how);
    pthread_condattr_destroy(&how);
}

/* Waits until it is signalled or, unless that is 0, this long. Not 0: it was the time. */
static int wait_ms(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until) {
    return until == NULL ? pthread_cond_wait(cond, mutex)
                         : pthread_cond_timedwait(cond, mutex, until);
}

static const struct timespec *after(u32_t ms, struct timespec *until) {
    if (ms == 0)
        return NULL;
    clock_gettime(CLOCK_MONOTONIC, until);
    until->tv_sec += (time_t)(ms / 1000u);
    until->tv_nsec += (long)(ms % 1000u) * 1000000;
    if (until->tv_nsec >= 1000000000) {
        until->tv_sec++;
        until->tv_nsec -= 1000000000;
    }
    return until;
}

static u32_t waited_ms(u32_t since_ms) {
    return sys_now() - since_ms;
}

void sys_init(void) {
}

/* ---- semaphores */

err_t sys_sem_new(sys_sem_t *sem, u8_t count) {
    *sem = must(calloc(1, sizeof **sem));
    pthread_mutex_init(&(*sem)->mutex, NULL);
    init_cond(&(*sem)->cond);
    (*sem)->count = count;
    return ERR_OK;
}

void sys_sem_free(sys_sem_t *sem) {
    pthread_mutex_destroy(&(*sem)->mutex);
    pthread_cond_destroy(&(*sem)->cond);
    free(*sem);
}

void sys_sem_signal(sys_sem_t *sem) {
    pthread_mutex_lock(&(*sem)->mutex);
    (*sem)->count++;
    pthread_cond_signal(&(*sem)->cond);
    pthread_mutex_unlock(&(*sem)->mutex);
}

u32_t sys_arch_sem_wait(sys_sem_t *sem, u32_t timeout_ms) {
    u32_t since_ms = sys_now();
    struct timespec at;
    const struct timespec *until = after(timeout_ms, &at);
    int failed = 0;

    pthread_mutex_lock(&(*sem)->mutex);
    while ((*sem)->count == 0 && failed != ETIMEDOUT)
        failed = wait_ms(&(*sem)->cond, &(*sem)->mutex, until);
    if ((*sem)->count > 0) {
        (*sem)->count--;
        failed = 0;
    }
    pthread_mutex_unlock(&(*sem)->mutex);
    return failed != 0 ? SYS_ARCH_TIMEOUT : waited_ms(since_ms);
}

/* ---- mutexes; one of them is the core's lock */

err_t sys_mutex_new(sys_mutex_t *mutex) {
    *mutex = must(calloc(1, sizeof **mutex));
    pthread_mutex_init(&(*mutex)->mutex, NULL);
    return ERR_OK;
}

void sys_mutex_free(sys_mutex_t *mutex) {
    pthread_mutex_destroy(&(*mutex)->mutex);
    free(*mutex);
}

void sys_mutex_lock(sys_mutex_t *mutex) {
    pthread_mutex_lock(&(*mutex)->mutex);
    (*mutex)->owner = pthread_self();
    (*mutex)->is_held = 1;
}

void sys_mutex_unlock(sys_mutex_t *mutex) {
    (*mutex)->is_held = 0;
    pthread_mutex_unlock(&(*mutex)->mutex);
}

void sys_check_core_locked(void) {
    if (sys_mutex_valid(&lock_tcpip_core) &&
        (!lock_tcpip_core->is_held || !pthread_equal(lock_tcpip_core->owner, pthread_self())))
        LWIP_PLATFORM_ASSERT("called without the core's lock");
}

/* ---- mailboxes */

err_t sys_mbox_new(sys_mbox_t *mbox, int size) {
    if (size <= 0)
        size = 16;
    *mbox = must(calloc(1, sizeof **mbox + (size_t)size * sizeof(void *)));
    (*mbox)->size = size;
    pthread_mutex_init(&(*mbox)->mutex, NULL);
    init_cond(&(*mbox)->not_empty);
    init_cond(&(*mbox)->not_full);
    return ERR_OK;
}

void sys_mbox_free(sys_mbox_t *mbox) {
    pthread_mutex_destroy(&(*mbox)->mutex);
    pthread_cond_destroy(&(*mbox)->not_empty);
    pthread_cond_destroy(&(*mbox)->not_full);
    free(*mbox);
}

static void put(struct sys_mbox *mbox, void *message) {
    mbox->messages[(mbox->at + mbox->count++) % mbox->size] = message;
    pthread_cond_signal(&mbox->not_empty);
}

void sys_mbox_post(sys_mbox_t *mbox, void *message) {
    pthread_mutex_lock(&(*mbox)->mutex);
    while ((*mbox)->count == (*mbox)->size)
        pthread_cond_wait(&(*mbox)->not_full, &(*mbox)->mutex);
    put(*mbox, message);
    pthread_mutex_unlock(&(*mbox)->mutex);
}

err_t sys_mbox_trypost(sys_mbox_t *mbox, void *message) {
    int is_full;

    pthread_mutex_lock(&(*mbox)->mutex);
    is_full = (*mbox)->count == (*mbox)->size;
    if (!is_full)
        put(*mbox, message);
    pthread_mutex_unlock(&(*mbox)->mutex);
    return is_full ? ERR_MEM : ERR_OK;
}

err_t sys_mbox_trypost_fromisr(sys_mbox_t *mbox, void *message) {
    return sys_mbox_trypost(mbox, message);
}

/* timeout_ms 0: as long as it takes; is_try: not at all. */
static u32_t fetch(struct sys_mbox *mbox, void **message, u32_t timeout_ms, int is_try) {
    u32_t since_ms = sys_now();
    struct timespec at;
    const struct timespec *until = after(timeout_ms, &at);
    int failed = is_try ? ETIMEDOUT : 0, is_there;

    pthread_mutex_lock(&mbox->mutex);
    while (mbox->count == 0 && failed != ETIMEDOUT)
        failed = wait_ms(&mbox->not_empty, &mbox->mutex, until);
    is_there = mbox->count > 0;
    if (is_there) {
        if (message != NULL)
            *message = mbox->messages[mbox->at];
        mbox->at = (mbox->at + 1) % mbox->size;
        mbox->count--;
        pthread_cond_signal(&mbox->not_full);
    }
    pthread_mutex_unlock(&mbox->mutex);
    return is_there ? waited_ms(since_ms) : SYS_ARCH_TIMEOUT;
}

u32_t sys_arch_mbox_fetch(sys_mbox_t *mbox, void **message, u32_t timeout_ms) {
    return fetch(*mbox, message, timeout_ms, 0);
}

u32_t sys_arch_mbox_tryfetch(sys_mbox_t *mbox, void **message) {
    return fetch(*mbox, message, 0, 1) == SYS_ARCH_TIMEOUT ? SYS_MBOX_EMPTY : 0;
}

/* ---- threads, and what protects lwIP's pools */

sys_thread_t sys_thread_new(const char *name, lwip_thread_fn thread, void *arg, int stack,
                            int priority) {
    pthread_t made;
    pthread_attr_t how;

    (void)name;
    (void)priority;
    pthread_attr_init(&how);
    if (stack > 65536)
        pthread_attr_setstacksize(&how, (size_t)stack);
    if (pthread_create(&made, &how, (void *(*)(void *))(void (*)(void))thread, arg) != 0)
        abort();
    pthread_attr_destroy(&how);
    pthread_detach(made);
    return (sys_thread_t)made;
}

static pthread_mutex_t protection;
static pthread_once_t protection_once = PTHREAD_ONCE_INIT;

static void init_protection(void) {
    pthread_mutexattr_t how;

    pthread_mutexattr_init(&how);
    pthread_mutexattr_settype(&how, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&protection, &how);
    pthread_mutexattr_destroy(&how);
}

sys_prot_t sys_arch_protect(void) {
    pthread_once(&protection_once, init_protection);
    pthread_mutex_lock(&protection);
    return 0;
}

void sys_arch_unprotect(sys_prot_t level) {
    (void)level;
    pthread_mutex_unlock(&protection);
}
