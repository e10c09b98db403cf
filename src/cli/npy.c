/* npy.c - the NumPy format, version 1.0: a header of 128 bytes, rewritten at the end with the number of rows, then the rows in C order,
 * little-endian. The file grows under a temporary name beside its own; an interrupt removes it.
 * source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
 * SPDX-License-Identifier: Apache-2.0 */
#include "npy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "args.h"
#include "output.h"

/* ---- An interrupt leaves no temporary file ---- */

static const int ending_signals[] = {SIGHUP, SIGINT, SIGTERM};
enum { N_ENDING_SIGNALS = sizeof ending_signals / sizeof *ending_signals };
static char *volatile interrupted_path; /* NULL: nothing to remove */

/* The disposition is the default again when this runs, so the signal ends the process as it would have. */
static void remove_on_signal(int number) {
    char *path = interrupted_path;
    if (path != NULL) unlink(path);
    raise(number);
}

static void watch_signals(void) {
    for (int i = 0; i < N_ENDING_SIGNALS; i++) {
        struct sigaction before, action = {.sa_handler = remove_on_signal, .sa_flags = (int)(SA_RESETHAND | SA_NODEFER)};
        sigemptyset(&action.sa_mask);
        if (sigaction(ending_signals[i], NULL, &before) == 0 && before.sa_handler == SIG_DFL) sigaction(ending_signals[i], &action, NULL);
    }
}

/* ---- The file ---- */

enum { HEADER_BYTES = 128, MAGIC_BYTES = 10 };

static int fail_npy(const tern_cli_npy *npy, int code) { return tern__cli_fail("%s: cannot be written: %s", npy->path, strerror(code)); }

static int write_header(const tern_cli_npy *npy) {
    char header[HEADER_BYTES + 1];
    const char *descr = npy->dtype == TERN_DTYPE_I8 ? "|i1" : npy->dtype == TERN_DTYPE_U8 ? "|u1" : "<f4";
    const int n = snprintf(header, sizeof header, "\x93NUMPY\x01%c%c%c{'descr': '%s', 'fortran_order': False, 'shape': (%zu, %zu), }", 0,
                           HEADER_BYTES - MAGIC_BYTES, 0, descr, npy->n_rows, npy->width);
    memset(header + n, ' ', (size_t)(HEADER_BYTES - 1 - n));
    header[HEADER_BYTES - 1] = '\n';
    return fwrite(header, 1, HEADER_BYTES, npy->stream) == HEADER_BYTES ? TERN_CLI_DONE : fail_npy(npy, errno);
}

/* "<path>.<process>-<n>.partial", a name that nobody has; its mode follows the umask, as that of a plain file does. A signal waits until
 * the name is known to the one who removes the file. */
static int open_temporary(tern_cli_npy *npy) {
    const size_t capacity = strlen(npy->path) + 64;
    char *temporary = malloc(capacity);
    if (temporary == NULL) return -1;
    int descriptor;
    unsigned n = 0;
    sigset_t signals, before;
    sigemptyset(&signals);
    for (int i = 0; i < N_ENDING_SIGNALS; i++) sigaddset(&signals, ending_signals[i]);
    pthread_sigmask(SIG_BLOCK, &signals, &before);
    do {
        snprintf(temporary, capacity, "%s.%ld-%u.partial", npy->path, (long)getpid(), n++);
        descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    } while (descriptor < 0 && errno == EEXIST && n < UINT_MAX);
    const int code = errno;
    if (descriptor >= 0) {
        npy->temporary_path = temporary;
        interrupted_path = temporary;
        watch_signals();
    } else {
        free(temporary);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = code;
    return descriptor;
}

/* A symbolic link is followed. What is no regular file is written in place: a rename would put a file where a device was. */
int tern__cli_npy_open(tern_cli_npy *out, const char *path, tern_dtype dtype, size_t width) {
    *out = (tern_cli_npy){.dtype = dtype, .width = width};
    struct stat facts;
    const bool is_there = stat(path, &facts) == 0;
    const bool in_place = is_there && !S_ISREG(facts.st_mode);
    out->path = is_there && !in_place ? realpath(path, NULL) : strdup(path);
    if (out->path == NULL) return tern__cli_fail("%s: cannot be written: %s", path, strerror(errno));
    const int descriptor = in_place ? open(out->path, O_WRONLY | O_CLOEXEC) : open_temporary(out);
    if (descriptor < 0) return fail_npy(out, errno);
    if (lseek(descriptor, 0, SEEK_CUR) < 0) {
        close(descriptor);
        return tern__cli_fail("%s: cannot be written: the number of rows stands before them, and a pipe cannot go back", path);
    }
    out->stream = fdopen(descriptor, "wb");
    if (out->stream == NULL) {
        close(descriptor);
        return fail_npy(out, errno);
    }
    return write_header(out);
}

int tern__cli_npy_append(tern_cli_npy *npy, const void *rows, size_t n_rows) {
    if (fwrite(rows, npy->width * tern_dtype_bytes(npy->dtype), n_rows, npy->stream) != n_rows) return fail_npy(npy, errno);
    npy->n_rows += n_rows;
    return TERN_CLI_DONE;
}

int tern__cli_npy_commit(tern_cli_npy *npy) {
    if (fseeko(npy->stream, 0, SEEK_SET) != 0) return fail_npy(npy, errno);
    if (write_header(npy) != TERN_CLI_DONE) return TERN_CLI_FAILED;
    if (fflush(npy->stream) != 0) return fail_npy(npy, errno);
    if (npy->temporary_path == NULL) return TERN_CLI_DONE;
    if (fsync(fileno(npy->stream)) != 0 || rename(npy->temporary_path, npy->path) != 0) return fail_npy(npy, errno);
    interrupted_path = NULL;
    free(npy->temporary_path);
    npy->temporary_path = NULL;
    return TERN_CLI_DONE;
}

void tern__cli_npy_discard(tern_cli_npy *npy) {
    if (npy->stream != NULL) fclose(npy->stream);
    if (npy->temporary_path != NULL) unlink(npy->temporary_path);
    interrupted_path = NULL;
    free(npy->temporary_path);
    free(npy->path);
    *npy = (tern_cli_npy){0};
}
