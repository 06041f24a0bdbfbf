/* port.c: the sizes of the port's structs as C has them, to be compared with those of port.rs. */
#include <stddef.h>

#include "rit_posix.h"

extern const size_t rit_cli_config_size, rit_cli_event_size;

const size_t rit_cli_config_size = sizeof(struct rit_posix_config);
const size_t rit_cli_event_size = sizeof(struct rit_posix_event);
