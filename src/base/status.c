/* status.c - the version of the library, the names of statuses, and the freeing of plain memory.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "tern.h"

#define QUOTE(text)          #text
#define VERSION(a, b, c)     QUOTE(a) "." QUOTE(b) "." QUOTE(c)

const char *tern_version(void) { return VERSION(TERN_VERSION_MAJOR, TERN_VERSION_MINOR, TERN_VERSION_PATCH); }

const char *tern_status_name(tern_status status) {
    switch (status) {
    case TERN_OK: return "TERN_OK";
    case TERN_E_ARGUMENT: return "TERN_E_ARGUMENT";
    case TERN_E_MEMORY: return "TERN_E_MEMORY";
    case TERN_E_IO: return "TERN_E_IO";
    case TERN_E_FORMAT: return "TERN_E_FORMAT";
    case TERN_E_CONFIG: return "TERN_E_CONFIG";
    case TERN_E_WEIGHTS: return "TERN_E_WEIGHTS";
    case TERN_E_SHAPE: return "TERN_E_SHAPE";
    case TERN_E_DTYPE: return "TERN_E_DTYPE";
    case TERN_E_UNSUPPORTED: return "TERN_E_UNSUPPORTED";
    case TERN_E_DEVICE: return "TERN_E_DEVICE";
    case TERN_E_CANCELLED: return "TERN_E_CANCELLED";
    }
    return "unknown status";
}

void tern_free(void *memory) { free(memory); }
