/* sys_arch.h: threads for lwIP with an operating system; see sys_arch.c. */
#ifndef LWIP_TESTS_SYS_ARCH_H
#define LWIP_TESTS_SYS_ARCH_H

struct sys_sem;
struct sys_mutex;
struct sys_mbox;

typedef struct sys_sem *sys_sem_t;
typedef struct sys_mutex *sys_mutex_t;
typedef struct sys_mbox *sys_mbox_t;
typedef unsigned long sys_thread_t;
typedef int sys_prot_t;

#define sys_sem_valid(sem) (*(sem) != NULL)
#define sys_sem_set_invalid(sem) (*(sem) = NULL)
#define sys_sem_valid_val(sem) ((sem) != NULL)
#define sys_sem_set_invalid_val(sem) ((sem) = NULL)
#define sys_mutex_valid(mutex) (*(mutex) != NULL)
#define sys_mutex_set_invalid(mutex) (*(mutex) = NULL)
#define sys_mbox_valid(mbox) (*(mbox) != NULL)
#define sys_mbox_set_invalid(mbox) (*(mbox) = NULL)
#define sys_mbox_valid_val(mbox) ((mbox) != NULL)
#define sys_mbox_set_invalid_val(mbox) ((mbox) = NULL)

#endif
