/* json_scan.h - a scanner over the bytes of a JSON file, for tables that are too large for a JSON library. Strict in what it reads, not in
 * what it skips.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_JSON_SCAN_H
#define TERN_TEXT_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

typedef struct tern_json_scan {
    const char *bytes;
    size_t n_bytes, at;
    const char *name; /* of the file */
    const char *part; /* what is read, "model: vocab" */
    tern_error *err;
    char *resolved; /* [n_bytes], made for the first string with escapes; such strings are put there */
    size_t n_resolved;
} tern_json_scan;

void tern__json_scan_free(tern_json_scan *scan);

/* TERN_E_FORMAT: "NAME: line 1, column 7: PART: WHAT". */
tern_status tern__json_scan_fail(const tern_json_scan *scan, size_t at, const char *what);

/* Past white space; the byte there, -1 at the end. */
static inline int tern__json_scan_next(tern_json_scan *scan) {
    while (scan->at < scan->n_bytes) {
        unsigned char byte = (unsigned char)scan->bytes[scan->at];
        if (byte > ' ' || (byte != ' ' && byte != '\n' && byte != '\t' && byte != '\r')) return byte;
        scan->at++;
    }
    return -1;
}
static inline bool tern__json_scan_take(tern_json_scan *scan, char byte) {
    if (tern__json_scan_next(scan) != (unsigned char)byte) return false;
    scan->at++;
    return true;
}

/* Past a value of any kind; what it holds is not checked. False when it has no end. */
bool tern__json_scan_skip(tern_json_scan *scan);
/* A string, at its opening quote (white space may stand before). It lives as long as the bytes, or with escapes until n_resolved is set
 * back to 0, which is due before strings of more than n_bytes in all. */
tern_status tern__json_scan_string(tern_json_scan *scan, const char **string, size_t *n_bytes);
/* An id: 0 to INT32_MAX. */
tern_status tern__json_scan_id(tern_json_scan *scan, int32_t *id);
/* A number as Hugging Face's library reads it: not the nearest double, but digits times or divided by a power of ten. */
tern_status tern__json_scan_number(tern_json_scan *scan, double *number);

#endif
