/* file.c - POSIX files: mapping, reading whole, and writing whole or not at all.
 * A mapped file that another process cuts short while it is mapped raises SIGBUS on use, as for every program that maps files.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"

/* "path: cannot be <what>: reason", where the reason is the errno value `code`. */
static tern_status fail_file(tern_error *err, const char *path, const char *what, int code) {
    if (code == ENOMEM) return TERN_FAIL(err, TERN_E_MEMORY, "%s: cannot be %s: out of memory", path, what);
    return TERN_FAIL(err, TERN_E_IO, "%s: cannot be %s: %s", path, what, strerror(code));
}

/* Open for reading and look at what it is; a folder is refused by name, since its own error would come only from read. */
static tern_status open_for_reading(int *descriptor, struct stat *facts, const char *path, int flags, tern_error *err) {
    *descriptor = open(path, O_RDONLY | O_CLOEXEC | flags);
    if (*descriptor < 0) return fail_file(err, path, "opened", errno);
    int code = 0;
    if (fstat(*descriptor, facts) != 0) code = errno;
    else if (S_ISDIR(facts->st_mode)) code = EISDIR;
    if (code == 0) return TERN_OK;
    close(*descriptor);
    return fail_file(err, path, "read", code);
}

tern_status tern__file_map(tern_mapping *out, const char *path, tern_error *err) {
    *out = (tern_mapping){0};
    int descriptor;
    struct stat facts;
    TERN_TRY(open_for_reading(&descriptor, &facts, path, O_NONBLOCK, err)); /* a pipe is to be refused, not waited for */
    tern_status status = TERN_OK;
    if (!S_ISREG(facts.st_mode)) {
        status = TERN_FAIL(err, TERN_E_IO, "%s: cannot be mapped: not a regular file", path);
    } else if ((uintmax_t)facts.st_size > SIZE_MAX) {
        status = fail_file(err, path, "mapped", EFBIG);
    } else if (facts.st_size > 0) {
        void *data = mmap(NULL, (size_t)facts.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
        if (data == MAP_FAILED) status = fail_file(err, path, "mapped", errno);
        else *out = (tern_mapping){.data = data, .bytes = (size_t)facts.st_size};
    }
    close(descriptor);
    return status;
}

void tern__file_unmap(tern_mapping *mapping) {
    if (mapping->data) munmap((void *)(uintptr_t)mapping->data, mapping->bytes);
    *mapping = (tern_mapping){0};
}

void tern__file_forget(const void *data, size_t bytes) {
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), start = ((uintptr_t)data + page - 1) / page * page;
    const uintptr_t end = ((uintptr_t)data + bytes) / page * page;
    if (start < end) madvise((void *)start, end - start, MADV_DONTNEED); /* advice: without it only memory is lost */
}

/* Read to the end. `capacity` of *bytes is at least 1 and grows when the file turns out to be longer than it said. */
static tern_status read_to_end(char **bytes, size_t *n_bytes, size_t capacity, int descriptor, const char *path, size_t max_bytes,
                               tern_error *err) {
    for (;;) {
        if (*n_bytes > max_bytes)
            return TERN_FAIL(err, TERN_E_IO, "%s: is larger than the %zu bytes that are read of such a file", path, max_bytes);
        if (!tern__grow(bytes, &capacity, *n_bytes + 2, 1)) return TERN_FAIL_MEMORY(err, *n_bytes + 2);
        ssize_t got = read(descriptor, *bytes + *n_bytes, capacity - *n_bytes - 1);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail_file(err, path, "read", errno);
        if (got == 0) return TERN_OK;
        *n_bytes += (size_t)got;
    }
}

tern_status tern__file_read(char **out, size_t *n_bytes, const char *path, size_t max_bytes, tern_error *err) {
    *out = NULL;
    *n_bytes = 0;
    int descriptor;
    struct stat facts;
    TERN_TRY(open_for_reading(&descriptor, &facts, path, 0, err));
    if (facts.st_size > 0 && (uintmax_t)facts.st_size > max_bytes) {
        close(descriptor);
        return TERN_FAIL(err, TERN_E_IO, "%s: has %jd bytes; at most %zu are read of such a file", path, (intmax_t)facts.st_size,
                         max_bytes);
    }
    size_t capacity = (facts.st_size > 0 ? (size_t)facts.st_size : 4096) + 2;
    char *bytes = malloc(capacity);
    size_t n = 0;
    tern_status status = bytes ? read_to_end(&bytes, &n, capacity, descriptor, path, max_bytes, err) : TERN_FAIL_MEMORY(err, capacity);
    close(descriptor);
    if (status != TERN_OK) {
        free(bytes);
        return status;
    }
    bytes[n] = '\0';
    *out = bytes;
    *n_bytes = n;
    return TERN_OK;
}

char *tern__path_join(const char *folder, const char *name) {
    size_t folder_bytes = strlen(folder), name_bytes = strlen(name);
    bool needs_slash = folder_bytes > 0 && folder[folder_bytes - 1] != '/';
    char *path = malloc(folder_bytes + needs_slash + name_bytes + 1);
    if (!path) return NULL;
    memcpy(path, folder, folder_bytes);
    if (needs_slash) path[folder_bytes] = '/';
    memcpy(path + folder_bytes + needs_slash, name, name_bytes + 1);
    return path;
}

/* A name that cannot be looked at, for want of permission, counts as there: opening it then tells why it cannot be read. */
bool tern__file_exists(const char *path) {
    struct stat facts;
    return lstat(path, &facts) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

bool tern__folder_exists(const char *path) {
    struct stat facts;
    return stat(path, &facts) == 0 && S_ISDIR(facts.st_mode);
}

tern_status tern__file_make_folders(const char *path, tern_error *err) {
    char *folder = strdup(path);
    if (!folder) return TERN_FAIL_MEMORY(err, strlen(path) + 1);
    int code = 0;
    for (char *slash = strchr(folder + 1, '/'); slash && code == 0; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(folder, 0777) != 0) code = errno;
        if (code != 0 && tern__folder_exists(folder)) code = 0;
        if (code == 0) *slash = '/';
    }
    tern_status status = code == 0 ? TERN_OK : fail_file(err, folder, "made", code);
    free(folder);
    return status;
}

/* Create "<path>.<process>-<n>.partial", a name that nobody else has. Its mode is that of the file that it will replace, else follows the
 * umask. */
static tern_status create_temporary(tern_writer *writer, const struct stat *replaced, int *descriptor, tern_error *err) {
    const mode_t mode = replaced ? replaced->st_mode & 0777 : 0666;
    size_t capacity = strlen(writer->path) + 64;
    writer->temporary_path = malloc(capacity);
    if (!writer->temporary_path) return TERN_FAIL_MEMORY(err, capacity);
    for (unsigned n = 0;; n++) {
        snprintf(writer->temporary_path, capacity, "%s.%ld-%u.partial", writer->path, (long)getpid(), n);
        *descriptor = open(writer->temporary_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (*descriptor >= 0) {
            if (replaced) fchmod(*descriptor, mode); /* what the umask took */
            return TERN_OK;
        }
        if (errno == EEXIST && n < UINT_MAX) continue;
        int code = errno;
        free(writer->temporary_path);
        writer->temporary_path = NULL;
        return fail_file(err, writer->path, "written", code);
    }
}

/* A stream over `descriptor`, which is closed if that fails. Its buffer is ours: without memory for one stdio would write byte by byte. */
static tern_status open_stream(tern_writer *writer, int descriptor, tern_error *err) {
    enum { BUFFER_BYTES = 1 << 16 };
    writer->buffer = malloc(BUFFER_BYTES);
    writer->stream = writer->buffer ? fdopen(descriptor, "wb") : NULL;
    if (!writer->stream) {
        tern_status status = fail_file(err, writer->path, "written", errno);
        close(descriptor);
        return status;
    }
    setvbuf(writer->stream, writer->buffer, _IOFBF, BUFFER_BYTES);
    return TERN_OK;
}

/* A symbolic link is followed, so that the file it names is replaced and not the link. What is no regular file (a device, a pipe) is
 * written in place: a rename would put a file where it was. */
tern_status tern__writer_open(tern_writer *out, const char *path, tern_error *err) {
    *out = (tern_writer){0};
    struct stat facts;
    bool is_there = stat(path, &facts) == 0;
    if (is_there && S_ISDIR(facts.st_mode)) return fail_file(err, path, "written", EISDIR);
    bool in_place = is_there && !S_ISREG(facts.st_mode);
    out->path = is_there && !in_place ? realpath(path, NULL) : strdup(path); /* a pipe behind a link has no real path */
    if (!out->path) return fail_file(err, path, "written", errno);
    int descriptor = -1;
    tern_status status = TERN_OK;
    if (in_place) {
        descriptor = open(out->path, O_WRONLY | O_CLOEXEC);
        if (descriptor < 0) status = fail_file(err, path, "written", errno);
    } else {
        status = create_temporary(out, is_there ? &facts : NULL, &descriptor, err);
    }
    if (status == TERN_OK) status = open_stream(out, descriptor, err);
    if (status != TERN_OK) tern__writer_discard(out);
    return status;
}

tern_status tern__writer_write(tern_writer *writer, const void *data, size_t bytes, tern_error *err) {
    if (bytes == 0 || fwrite(data, 1, bytes, writer->stream) == bytes) return TERN_OK;
    return fail_file(err, writer->path, "written", errno);
}

tern_status tern__writer_commit(tern_writer *writer, tern_error *err) {
    int code = 0;
    if (fflush(writer->stream) != 0) code = errno;
    if (code == 0 && writer->temporary_path && fsync(fileno(writer->stream)) != 0) code = errno;
    if (fclose(writer->stream) != 0 && code == 0) code = errno;
    writer->stream = NULL;
    if (code == 0 && writer->temporary_path) {
        if (rename(writer->temporary_path, writer->path) != 0) {
            code = errno;
        } else {
            free(writer->temporary_path);
            writer->temporary_path = NULL;
        }
    }
    tern_status status = code == 0 ? TERN_OK : fail_file(err, writer->path, "written", code);
    tern__writer_discard(writer);
    return status;
}

void tern__writer_discard(tern_writer *writer) {
    if (writer->stream) fclose(writer->stream);
    if (writer->temporary_path) unlink(writer->temporary_path);
    free(writer->temporary_path);
    free(writer->path);
    free(writer->buffer);
    *writer = (tern_writer){0};
}
