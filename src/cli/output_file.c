/* output_file.c - the file grows under a temporary name beside its own; an interrupt removes it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "output_file.h"

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

int tern__cli_output_file_fail(const tern_cli_output_file *file, int code) {
    return tern__cli_fail("%s: cannot be written: %s", file->path, strerror(code));
}

/* "<path>.<process>-<n>.partial", a name that nobody has. Its mode is that of the file it will replace, else follows the umask. A signal
 * waits until the name is known to the one who removes the file. */
static int open_temporary(tern_cli_output_file *file, const struct stat *replaced) {
    const mode_t mode = replaced != NULL ? replaced->st_mode & 0777 : 0666;
    const size_t capacity = strlen(file->path) + 64;
    char *temporary = malloc(capacity);
    if (temporary == NULL) return -1;
    int descriptor;
    unsigned n = 0;
    sigset_t signals, before;
    sigemptyset(&signals);
    for (int i = 0; i < N_ENDING_SIGNALS; i++) sigaddset(&signals, ending_signals[i]);
    pthread_sigmask(SIG_BLOCK, &signals, &before);
    do {
        snprintf(temporary, capacity, "%s.%ld-%u.partial", file->path, (long)getpid(), n++);
        descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    } while (descriptor < 0 && errno == EEXIST && n < UINT_MAX);
    const int code = errno;
    if (descriptor >= 0) {
        file->temporary_path = temporary;
        interrupted_path = temporary;
        watch_signals();
        if (replaced != NULL) fchmod(descriptor, mode); /* what the umask took */
    } else {
        free(temporary);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = code;
    return descriptor;
}

/* A symbolic link is followed. What is no regular file is written in place: a rename would put a file where a device was. */
int tern__cli_output_file_open(tern_cli_output_file *out, const char *path) {
    *out = (tern_cli_output_file){0};
    struct stat facts;
    const bool is_there = stat(path, &facts) == 0;
    const bool in_place = is_there && !S_ISREG(facts.st_mode);
    out->path = is_there && !in_place ? realpath(path, NULL) : strdup(path);
    if (out->path == NULL) return tern__cli_fail("%s: cannot be written: %s", path, strerror(errno));
    const int descriptor = in_place ? open(out->path, O_WRONLY | O_CLOEXEC) : open_temporary(out, is_there ? &facts : NULL);
    if (descriptor < 0) return tern__cli_output_file_fail(out, errno);
    out->stream = fdopen(descriptor, "wb");
    if (out->stream != NULL) return TERN_CLI_DONE;
    close(descriptor);
    return tern__cli_output_file_fail(out, errno);
}

int tern__cli_output_file_commit(tern_cli_output_file *file) {
    if (fflush(file->stream) != 0 || ferror(file->stream)) return tern__cli_output_file_fail(file, errno != 0 ? errno : EIO);
    if (file->temporary_path == NULL) return TERN_CLI_DONE;
    if (fsync(fileno(file->stream)) != 0 || rename(file->temporary_path, file->path) != 0) return tern__cli_output_file_fail(file, errno);
    interrupted_path = NULL;
    free(file->temporary_path);
    file->temporary_path = NULL;
    return TERN_CLI_DONE;
}

void tern__cli_output_file_discard(tern_cli_output_file *file) {
    if (file->stream != NULL) fclose(file->stream);
    if (file->temporary_path != NULL) unlink(file->temporary_path);
    interrupted_path = NULL;
    free(file->temporary_path);
    free(file->path);
    *file = (tern_cli_output_file){0};
}
