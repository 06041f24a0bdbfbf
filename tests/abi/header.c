/* The header stands on its own, twice. */
#include "rit.h"
#include "rit.h"

int main(void) {
    return rit_abi_version() == RIT_ABI_VERSION ? 0 : 1;
}
