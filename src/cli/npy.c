/* npy.c - the NumPy format, version 1.0: a header of 128 bytes, rewritten at the end with the number of rows, then the rows in C order,
 * little-endian. source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
 * SPDX-License-Identifier: Apache-2.0 */
#include "npy.h"

#include <errno.h>
#include <string.h>

#include "args.h"
#include "output.h"

enum { HEADER_BYTES = 128, MAGIC_BYTES = 10 };

static int write_header(const tern_cli_npy *npy) {
    char header[HEADER_BYTES + 1];
    const char *descr = npy->dtype == TERN_DTYPE_I8 ? "|i1" : npy->dtype == TERN_DTYPE_U8 ? "|u1" : "<f4";
    const int n = snprintf(header, sizeof header, "\x93NUMPY\x01%c%c%c{'descr': '%s', 'fortran_order': False, 'shape': (%zu, %zu), }", 0,
                           HEADER_BYTES - MAGIC_BYTES, 0, descr, npy->n_rows, npy->width);
    memset(header + n, ' ', (size_t)(HEADER_BYTES - 1 - n));
    header[HEADER_BYTES - 1] = '\n';
    return fwrite(header, 1, HEADER_BYTES, npy->file.stream) == HEADER_BYTES ? TERN_CLI_DONE
                                                                             : tern__cli_output_file_fail(&npy->file, errno);
}

int tern__cli_npy_open(tern_cli_npy *out, const char *path, tern_dtype dtype, size_t width) {
    *out = (tern_cli_npy){.dtype = dtype, .width = width};
    const int code = tern__cli_output_file_open(&out->file, path);
    if (code != TERN_CLI_DONE) return code;
    if (fseeko(out->file.stream, 0, SEEK_CUR) != 0)
        return tern__cli_fail("%s: cannot be written: the number of rows stands before them, and a pipe cannot go back", path);
    return write_header(out);
}

int tern__cli_npy_append(tern_cli_npy *npy, const void *rows, size_t n_rows) {
    if (fwrite(rows, npy->width * tern_dtype_bytes(npy->dtype), n_rows, npy->file.stream) != n_rows)
        return tern__cli_output_file_fail(&npy->file, errno);
    npy->n_rows += n_rows;
    return TERN_CLI_DONE;
}

int tern__cli_npy_commit(tern_cli_npy *npy) {
    if (fseeko(npy->file.stream, 0, SEEK_SET) != 0) return tern__cli_output_file_fail(&npy->file, errno);
    if (write_header(npy) != TERN_CLI_DONE) return TERN_CLI_FAILED;
    return tern__cli_output_file_commit(&npy->file);
}

void tern__cli_npy_discard(tern_cli_npy *npy) { tern__cli_output_file_discard(&npy->file); }
