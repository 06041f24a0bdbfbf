/* main.c: the image on FreeRTOS, with lwIP in its tcpip thread. Three tasks: lwIP's, to which node,
 * port and HTTP server belong; one that reads frames when the interrupt says so; and the console,
 * whose key q ends it all. */
#include "FreeRTOS.h"
#include "board.h"
#include "device.h"
#include "ethernet.h"
#include "lwip/tcpip.h"
#include "task.h"

#define ETHERNET_STACK 256 /* words */
#define CONSOLE_STACK 512
#define GOODBYE_US 5000000u /* how long lwIP may take to let go of the last connection's memory */
#define IRQ_PRIORITY (*(volatile uint8_t *)(0xE000E400u + 13))

static TaskHandle_t ethernet_task, console_task;
static volatile int is_stopped;

/* ---- what the kernel asks for */

void kernel_failed(const char *where, int line) {
    board_print("FreeRTOS: %s:%d\n", where, line);
    board_exit(97);
}

void vApplicationMallocFailedHook(void) { kernel_failed("no memory", 0); }

void vApplicationStackOverflowHook(TaskHandle_t task, char *name) {
    (void)task;
    kernel_failed(name, 0);
}

void vApplicationIdleHook(void) { board_sleep(); }

void xPortSysTickHandler(void);

/* The board's clock ticks before the kernel does. */
void SysTick_Handler(void) {
    board_clock_tick();
    if (xTaskGetSchedulerState() != taskSCHEDULER_NOT_STARTED)
        xPortSysTickHandler();
}

/* ---- frames */

void board_on_frame(void) {
    BaseType_t is_woken = pdFALSE;

    vTaskNotifyGiveFromISR(ethernet_task, &is_woken);
    portYIELD_FROM_ISR(is_woken);
}

/* Less urgent than lwIP's thread, so that what that has no time for waits in the chip. */
static void run_ethernet(void *arg) {
    (void)arg;
    for (;;) {
        (void)ulTaskNotifyTake(pdTRUE, portMAX_DELAY);
        while (!is_stopped && ethernet_poll() > 0)
            continue;
    }
}

/* ---- the device, in lwIP's thread */

static void start(void *arg) {
    (void)arg;
    if (device_start() != 0)
        board_exit(1);
}

static void stop(void *arg) {
    (void)arg;
    is_stopped = 1;
    device_stop();
    xTaskNotifyGive(console_task);
}

/* ---- console */

static unsigned left(void) {
    unsigned count;

    LOCK_TCPIP_CORE();
    count = device_left();
    UNLOCK_TCPIP_CORE();
    return count;
}

static void run_console(void *arg) {
    uint64_t stopped_us;
    TaskHandle_t lwip;

    (void)arg;
    while (board_key() != 'q')
        vTaskDelay(pdMS_TO_TICKS(10));
    if (tcpip_callback(stop, NULL) != ERR_OK)
        kernel_failed("no message", 0);
    (void)ulTaskNotifyTake(pdTRUE, portMAX_DELAY);
    stopped_us = board_now_us();
    while (left() != 0 && board_now_us() - stopped_us < GOODBYE_US)
        vTaskDelay(pdMS_TO_TICKS(10));
    lwip = xTaskGetHandle(TCPIP_THREAD_NAME);
    board_exit(device_report(TCPIP_THREAD_STACKSIZE, TCPIP_THREAD_STACKSIZE -
                             uxTaskGetStackHighWaterMark(lwip) * sizeof(StackType_t)));
}

int main(void) {
    if (device_heap(board_heap_start, (size_t)(board_heap_end - board_heap_start)) != 0)
        return 1;
    IRQ_PRIORITY = configMAX_SYSCALL_INTERRUPT_PRIORITY;
    if (xTaskCreate(run_ethernet, "ethernet", ETHERNET_STACK, NULL, 2, &ethernet_task) != pdPASS ||
        xTaskCreate(run_console, "console", CONSOLE_STACK, NULL, 1, &console_task) != pdPASS)
        return 1;
    tcpip_init(start, NULL);
    vTaskStartScheduler();
    return 1;
}
