/* plot.c - see plot.h. gnuplot is started without a shell, and nothing of a row but numbers and cleaned names comes into its script.
 * SPDX-License-Identifier: Apache-2.0 */
#include "bench/plot.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"

extern char **environ;

static void path_in(char path[128], const tern_plot *plot, const char *name) { snprintf(path, 128, "%s/%s", plot->folder, name); }

/* gnuplot with one argument, its output to `out` and `messages`; its exit status, -1 when it could not be started. */
static int run_gnuplot(const char *argument, const char *out, const char *messages) {
    char program[] = "gnuplot", copy[128];
    snprintf(copy, sizeof copy, "%s", argument);
    char *const arguments[] = {program, copy, NULL};
    posix_spawn_file_actions_t actions;
    if (posix_spawn_file_actions_init(&actions) != 0) return -1;
    pid_t process;
    int status = -1;
    bool ok = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0) == 0 &&
              posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, out, O_WRONLY | O_CREAT | O_TRUNC, 0600) == 0 &&
              posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, messages, O_WRONLY | O_CREAT | O_TRUNC, 0600) == 0;
    ok = ok && posix_spawnp(&process, program, &actions, NULL, arguments, environ) == 0;
    posix_spawn_file_actions_destroy(&actions);
    if (!ok) return -1;
    while (waitpid(process, &status, 0) < 0 && errno == EINTR) {}
    return WIFEXITED(status) && WEXITSTATUS(status) != 127 ? WEXITSTATUS(status) : -1;
}

tern_status tern__plot_check(tern_error *err) {
    if (run_gnuplot("--version", "/dev/null", "/dev/null") == 0) return TERN_OK;
    return TERN_FAIL(err, TERN_E_UNSUPPORTED,
                     "the page's plots are drawn by gnuplot, which is not there: install it, or take --format markdown or csv");
}

void tern__plot_quote(FILE *script, const char *text) {
    fputc('\'', script);
    for (const char *c = text; *c != '\0'; c++)
        fputc(isalnum((unsigned char)*c) || (*c != '\0' && strchr(" ._:;,/+-()%=", *c) != NULL) ? *c : '_', script);
    fputc('\'', script);
}

tern_status tern__plot_begin(tern_plot *plot, const char *title, const char *x_label, const char *y_label, tern_error *err) {
    const char *temporary = getenv("TMPDIR");
    char path[128];
    snprintf(plot->folder, sizeof plot->folder, "%.40s/tern-plot-XXXXXX",
             temporary != NULL && strlen(temporary) <= 40 ? temporary : "/tmp");
    if (mkdtemp(plot->folder) == NULL) return TERN_FAIL(err, TERN_E_IO, "%s: no temporary folder: %s", plot->folder, strerror(errno));
    path_in(path, plot, "script");
    plot->script = fopen(path, "w");
    if (plot->script == NULL) return TERN_FAIL(err, TERN_E_IO, "%s: cannot be written: %s", path, strerror(errno));
    fputs("set terminal svg size 520,380 font 'sans-serif,13' noenhanced background '#ffffff'\n"
          "set border 3 lc '#666666'\nset tics nomirror\nset grid lc '#dddddd'\nset style fill transparent solid 0.18 noborder\n"
          "set linetype 1 lc '#0b6e99' pt 7 ps 0.5 lw 2\nset linetype 2 lc '#d9730d' pt 5 ps 0.5 lw 2\n"
          "set linetype 3 lc '#2f7d4f' pt 9 ps 0.6 lw 2\nset linetype 4 lc '#9b2c5e' pt 11 ps 0.6 lw 2\n"
          "set linetype 5 lc '#6a4fb3' pt 13 ps 0.6 lw 2\nset linetype 6 lc '#8a6d1f' pt 4 ps 0.6 lw 2\n"
          "set linetype 7 lc '#444444' pt 6 ps 0.6 lw 2\nset linetype 8 lc '#3aa6a0' pt 8 ps 0.6 lw 2\n"
          "set key outside bottom center horizontal Left reverse samplen 1.5 spacing 1.1 width 1\nset bmargin 6.5\n",
          plot->script);
    fputs("set title ", plot->script);
    tern__plot_quote(plot->script, title);
    fputs("\nset xlabel ", plot->script);
    tern__plot_quote(plot->script, x_label);
    fputs("\nset ylabel ", plot->script);
    tern__plot_quote(plot->script, y_label);
    fputc('\n', plot->script);
    return TERN_OK;
}

static tern_status read_whole(char **out, size_t *bytes, const char *path, tern_error *err) {
    FILE *file = fopen(path, "r");
    size_t capacity = 0;
    *out = NULL;
    *bytes = 0;
    bool ok = file != NULL;
    while (ok) {
        if (capacity - *bytes < 4096) {
            char *longer = realloc(*out, capacity = 2 * capacity + 65536);
            if (longer == NULL) ok = false;
            else *out = longer;
        }
        const size_t n = ok ? fread(*out + *bytes, 1, capacity - *bytes - 1, file) : 0;
        if (n == 0) break;
        *bytes += n;
    }
    if (file != NULL) fclose(file);
    if (ok) {
        (*out)[*bytes] = '\0';
        return TERN_OK;
    }
    free(*out);
    *out = NULL;
    return TERN_FAIL(err, TERN_E_IO, "%s: cannot be read", path);
}

static tern_status draw(const tern_plot *plot, char **svg, size_t *bytes, tern_error *err) {
    char script[128], out[128], messages[128];
    path_in(script, plot, "script");
    path_in(out, plot, "out.svg");
    path_in(messages, plot, "messages");
    const int status = run_gnuplot(script, out, messages);
    if (status == 0) return read_whole(svg, bytes, out, err);
    char *text = NULL;
    size_t n = 0;
    if (status > 0 && read_whole(&text, &n, messages, err) == TERN_OK) TERN_FAIL(err, TERN_E_IO, "gnuplot failed: %.1000s", text);
    else TERN_FAIL(err, TERN_E_IO, "gnuplot could not be run");
    free(text);
    return TERN_E_IO;
}

tern_status tern__plot_end(tern_plot *plot, char **svg, size_t *bytes, tern_error *err) {
    static const char *const names[] = {"script", "out.svg", "messages"};
    const bool is_written = plot->script != NULL && !ferror(plot->script);
    tern_status status = TERN_OK;
    if (plot->script != NULL && fclose(plot->script) != 0) status = TERN_FAIL(err, TERN_E_IO, "%s: cannot be written", plot->folder);
    if (status == TERN_OK && svg != NULL)
        status = is_written ? draw(plot, svg, bytes, err) : TERN_FAIL(err, TERN_E_IO, "%s: cannot be written", plot->folder);
    for (size_t i = 0; i < 3; i++) {
        char path[128];
        path_in(path, plot, names[i]);
        unlink(path);
    }
    rmdir(plot->folder);
    return status;
}
