/* npy_read.c - a NumPy file of float32 rows, formats 1.0 to 3.0, C order, little-endian: what numpy.save writes of such an array. The
 * header is a Python literal; its three keys are looked for in the form in which NumPy writes them. source:
 * https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "npy.h"
#include "output.h"

enum { MAX_HEADER_BYTES = 1 << 16 };

/* The header's text, NUL-terminated; false when this is no such file. */
static bool read_npy_header(FILE *stream, char *header) {
    unsigned char start[12];
    if (fread(start, 1, 8, stream) != 8 || memcmp(start, "\x93NUMPY", 6) != 0 || start[6] < 1 || start[6] > 3) return false;
    const size_t n_length = start[6] == 1 ? 2 : 4;
    if (fread(start + 8, 1, n_length, stream) != n_length) return false;
    size_t n = 0;
    for (size_t i = n_length; i-- > 0;) n = n << 8 | start[8 + i];
    if (n >= MAX_HEADER_BYTES || fread(header, 1, n, stream) != n) return false;
    header[n] = '\0';
    return true;
}

static bool parse_npy_shape(const char *header, size_t *n_rows, size_t *width) {
    const char *shape = strstr(header, "'shape': (");
    if (shape == NULL) return false;
    char *end;
    errno = 0;
    const unsigned long long rows = strtoull(shape + 10, &end, 10);
    if (end == shape + 10 || end[0] != ',' || end[1] != ' ') return false;
    const char *second = end + 2;
    const unsigned long long columns = strtoull(second, &end, 10);
    if (end == second || end[0] != ')' || errno != 0 || columns == 0 || rows > SIZE_MAX / sizeof(float) / columns) return false;
    *n_rows = (size_t)rows;
    *width = (size_t)columns;
    return true;
}

static int read_npy_rows(FILE *stream, float **rows, size_t *n_rows, const char *path, size_t width) {
    static char header[MAX_HEADER_BYTES];
    size_t found_width;
    if (!read_npy_header(stream, header)) return tern__cli_fail("%s: not a NumPy file", path);
    if (strstr(header, "'<f4'") == NULL || strstr(header, "'fortran_order': False") == NULL ||
        !parse_npy_shape(header, n_rows, &found_width))
        return tern__cli_fail(
            "%s: not an array of float32 in C order with two axes; numpy.save(file, numpy.ascontiguousarray(array, '<f4')) "
            "writes one",
            path);
    if (found_width != width)
        return tern__cli_fail("%s: its vectors have %zu components, those to be quantized have %zu", path, found_width, width);
    if (*n_rows == 0) return tern__cli_fail("%s: it has no vectors", path);
    *rows = malloc(*n_rows * width * sizeof **rows);
    if (*rows == NULL) return tern__cli_fail("out of memory for the %zu vectors of %s", *n_rows, path);
    if (fread(*rows, width * sizeof **rows, *n_rows, stream) != *n_rows)
        return tern__cli_fail("%s: it ends before its %zu vectors do", path, *n_rows);
    return TERN_CLI_DONE;
}

int tern__cli_npy_read(float **rows, size_t *n_rows, const char *path, size_t width) {
    *rows = NULL;
    FILE *stream = fopen(path, "rb");
    if (stream == NULL) return tern__cli_fail("%s: cannot be read: %s", path, strerror(errno));
    const int code = read_npy_rows(stream, rows, n_rows, path, width);
    fclose(stream);
    if (code == TERN_CLI_DONE) return code;
    free(*rows);
    *rows = NULL;
    return code;
}
