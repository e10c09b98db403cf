/* tern/base.h - version, status, errors, and what every other header uses.
 * A part of tern.h, which is the one to include. SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_BASE_H
#define TERN_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define TERN_API
#else
#define TERN_API __attribute__((visibility("default")))
#endif

#define TERN_VERSION_MAJOR 0
#define TERN_VERSION_MINOR 1
#define TERN_VERSION_PATCH 0

/* tern_version - the version of the linked library, "major.minor.patch". */
TERN_API const char *tern_version(void);

typedef enum tern_status {
    TERN_OK = 0,
    TERN_E_ARGUMENT,    /* an argument is not what the function takes, such as text that is not UTF-8 */
    TERN_E_MEMORY,      /* an allocation failed, on the host or on a device; the caller may go on with less */
    TERN_E_IO,          /* a file could not be opened, read, mapped or written */
    TERN_E_FORMAT,      /* a file breaks its format: JSON, safetensors, tokenizer.json */
    TERN_E_CONFIG,      /* config.json lacks a key or holds a value out of range */
    TERN_E_WEIGHTS,     /* tensors are missing, unexpected or misshapen */
    TERN_E_SHAPE,       /* shapes do not fit together */
    TERN_E_DTYPE,       /* a dtype that the operation does not take */
    TERN_E_UNSUPPORTED, /* known, but not done by this version: a model_type, a tokenizer component, an op on a device */
    TERN_E_DEVICE,      /* a device is absent or failed */
    TERN_E_CANCELLED    /* the caller's progress function asked to stop */
} tern_status;

/* tern_status_name - "TERN_E_IO" for TERN_E_IO; "unknown status" for a value that is not one. */
TERN_API const char *tern_status_name(tern_status status);

/* What went wrong, for a person. `message` names the file, tensor or argument and is one or more lines without a final newline. */
typedef struct tern_error {
    tern_status code;
    char message[4096];
    const char *file; /* where in Tern's source it was noticed; a string constant */
    int line;
} tern_error;

/* tern_free - free memory that the library handed out as plain memory (decoded text). */
TERN_API void tern_free(void *memory);

#ifdef __cplusplus
}
#endif
#endif
