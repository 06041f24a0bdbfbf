/* main.c: the image without an operating system. One loop gives lwIP its frames, its timeouts and
 * what the loopback interface holds, and sleeps when there is nothing to do. The key q ends it. */
#include "board.h"
#include "device.h"
#include "ethernet.h"
#include "lwip/init.h"
#include "lwip/netif.h"
#include "lwip/timeouts.h"

#define GOODBYE_US 5000000u /* how long lwIP may take to let go of the last connection's memory */

static void turn(int is_started) {
    unsigned frames = is_started ? ethernet_poll() : 0;

    sys_check_timeouts();
    netif_poll_all();
    if (frames == 0)
        board_sleep();
}

int main(void) {
    uint64_t stopped_us;

    if (device_heap(board_heap_start, (size_t)(board_heap_end - board_heap_start)) != 0)
        return 1;
    lwip_init();
    if (device_start() != 0)
        return 1;
    while (board_key() != 'q')
        turn(1);
    device_stop();
    stopped_us = board_now_us();
    while (device_left() != 0 && board_now_us() - stopped_us < GOODBYE_US)
        turn(0);
    return device_report(board_stack_size(), board_stack_peak());
}
