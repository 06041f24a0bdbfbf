/* FreeRTOSConfig.h: the kernel as this image wants it: three tasks, no timers, no idle memory. */
#ifndef FREERTOS_CONFIG_H
#define FREERTOS_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#define configCPU_CLOCK_HZ 25000000u
#define configTICK_RATE_HZ 1000
#define configTICK_TYPE_WIDTH_IN_BITS TICK_TYPE_WIDTH_32_BITS
#define configMAX_PRIORITIES 5
#define configMINIMAL_STACK_SIZE 128 /* words */
#define configTOTAL_HEAP_SIZE 45056  /* the tasks' stacks, above all lwIP's */
#define configMAX_TASK_NAME_LEN 16

#define configUSE_PREEMPTION 1
#define configUSE_TIME_SLICING 0
#define configUSE_MUTEXES 1
#define configUSE_RECURSIVE_MUTEXES 1
#define configUSE_COUNTING_SEMAPHORES 1
#define configUSE_TASK_NOTIFICATIONS 1
#define configUSE_IDLE_HOOK 1
#define configUSE_TICK_HOOK 0
#define configUSE_TIMERS 0
#define configUSE_MALLOC_FAILED_HOOK 1
#define configCHECK_FOR_STACK_OVERFLOW 2
#define configSUPPORT_DYNAMIC_ALLOCATION 1
#define configSUPPORT_STATIC_ALLOCATION 0

#define INCLUDE_vTaskDelay 1
#define INCLUDE_vTaskSuspend 1
#define INCLUDE_vTaskDelete 1
#define INCLUDE_xTaskGetCurrentTaskHandle 1
#define INCLUDE_xTaskGetSchedulerState 1
#define INCLUDE_xTaskGetHandle 1
#define INCLUDE_uxTaskGetStackHighWaterMark 1

/* Interrupts of this urgency, and less, may use the kernel. */
#define configKERNEL_INTERRUPT_PRIORITY 255
#define configMAX_SYSCALL_INTERRUPT_PRIORITY 80

/* The names of startup.c; SysTick_Handler is main.c's. */
#define vPortSVCHandler SVC_Handler
#define xPortPendSVHandler PendSV_Handler

void kernel_failed(const char *where, int line) __attribute__((noreturn));
#define configASSERT(condition)                   \
    do {                                          \
        if (!(condition))                         \
            kernel_failed(__FILE_NAME__, __LINE__); \
    } while (0)

#endif
