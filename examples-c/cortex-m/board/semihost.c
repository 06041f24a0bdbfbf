/* semihost.c: what the debugger, here QEMU, does for the program: options, files, the exit status.
 *
 * Only a board with a debugger has this. A product keeps the options and the slots in a page of
 * flash each, and has no exit. */
#include "board.h"

#include <string.h>

#define SYS_OPEN 0x01u
#define SYS_CLOSE 0x02u
#define SYS_WRITE 0x05u
#define SYS_READ 0x06u
#define SYS_RENAME 0x0Fu
#define SYS_ERRNO 0x13u
#define SYS_GET_CMDLINE 0x15u
#define SYS_EXIT_EXTENDED 0x20u
#define EXIT_BY_PROGRAM 0x20026u
#define MODE_READ 1u  /* "rb" */
#define MODE_WRITE 5u /* "wb" */
#define NO_SUCH_FILE 2

static int32_t ask(uint32_t operation, const void *block) {
    register uint32_t r0 __asm("r0") = operation;
    register uint32_t r1 __asm("r1") = (uint32_t)(uintptr_t)block;

    __asm volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return (int32_t)r0;
}

static uint32_t address(const void *pointer) { return (uint32_t)(uintptr_t)pointer; }

static int32_t open_file(const char *name, uint32_t mode) {
    uint32_t block[3] = {address(name), mode, (uint32_t)strlen(name)};

    return ask(SYS_OPEN, block);
}

static int32_t close_file(int32_t file) {
    uint32_t block[1] = {(uint32_t)file};

    return ask(SYS_CLOSE, block);
}

/* Both answer how many bytes were not moved. */
static int32_t move(uint32_t operation, int32_t file, const void *buf, size_t len) {
    uint32_t block[3] = {(uint32_t)file, address(buf), (uint32_t)len};

    return ask(operation, block);
}

int32_t board_load(uint32_t slot, uint8_t *buf, size_t cap) {
    char name[] = "slot0";
    int32_t file, missing;

    name[4] = (char)('0' + slot % 10);
    file = open_file(name, MODE_READ);
    if (file < 0)
        return ask(SYS_ERRNO, NULL) == NO_SUCH_FILE ? 0 : -1;
    missing = move(SYS_READ, file, buf, cap);
    (void)close_file(file);
    return missing < 0 || missing > (int32_t)cap ? -1 : (int32_t)cap - missing;
}

int32_t board_store(uint32_t slot, const uint8_t *buf, size_t len) {
    char name[] = "slot0", fresh[] = "slot0.new";
    uint32_t names[4] = {address(fresh), sizeof fresh - 1, address(name), sizeof name - 1};
    int32_t file, missing;

    name[4] = fresh[4] = (char)('0' + slot % 10);
    file = open_file(fresh, MODE_WRITE);
    if (file < 0)
        return -1;
    missing = move(SYS_WRITE, file, buf, len);
    if (close_file(file) != 0 || missing != 0)
        return -1;
    return ask(SYS_RENAME, names) == 0 ? 0 : -1;
}

int board_option(const char *name, char *out, size_t cap) {
    static char line[1024];
    uint32_t block[2] = {address(line), sizeof line};
    size_t name_len = strlen(name), len;
    const char *word = line;

    if (line[0] == '\0' && ask(SYS_GET_CMDLINE, block) != 0)
        line[0] = '\0';
    while (*word != '\0') {
        len = strcspn(word, " ");
        if (len > name_len && memcmp(word, name, name_len) == 0 && word[name_len] == '=') {
            len -= name_len + 1;
            if (len >= cap)
                return -1;
            memcpy(out, word + name_len + 1, len);
            out[len] = '\0';
            return 0;
        }
        word += len;
        word += strspn(word, " ");
    }
    return -1;
}

void board_exit(int status) {
    uint32_t block[2] = {EXIT_BY_PROGRAM, (uint32_t)status};

    for (;;)
        (void)ask(SYS_EXIT_EXTENDED, block);
}
