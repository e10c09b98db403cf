/* output.c - JSON and text on standard output, errors and progress on standard error.
 * SPDX-License-Identifier: Apache-2.0 */
#include "output.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

#include "args.h"

int tern__cli_fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fflush(stdout); /* what came before the failure stands before its message where both go to one place */
    fputs("tern: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return TERN_CLI_FAILED;
}

int tern__cli_flush(void) {
    errno = 0;
    const bool is_flushed = fflush(stdout) == 0;
    if (is_flushed && !ferror(stdout)) return TERN_CLI_DONE;
    return tern__cli_fail("standard output cannot be written: %s", errno != 0 ? strerror(errno) : "an earlier write failed");
}

/* ---- UTF-8 ---- */

/* Length in bytes of the well-formed sequence at data, 0 when there is none (Unicode 15, table 3-7). */
static size_t next_code_point(uint32_t *code_point, const unsigned char *data, size_t bytes) {
    const unsigned char lead = data[0];
    if (lead < 0x80) return *code_point = lead, 1;
    const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || bytes < length) return 0;
    uint32_t value = lead & (0x7Fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((data[i] & 0xC0) != 0x80) return 0;
        value = value << 6 | (data[i] & 0x3Fu);
    }
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    if (value < smallest[length] || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) return 0;
    *code_point = value;
    return length;
}

/* ---- JSON ---- */

void tern__cli_json_string(const char *data, size_t bytes) {
    putchar('"');
    size_t from = 0; /* bytes before it are written */
    for (size_t i = 0, step; i < bytes; i += step) {
        uint32_t code_point = 0;
        const size_t length = next_code_point(&code_point, (const unsigned char *)data + i, bytes - i);
        step = length != 0 ? length : 1;
        if (length != 0 && code_point >= 0x20 && code_point != '"' && code_point != '\\') continue;
        fwrite(data + from, 1, i - from, stdout);
        from = i + step;
        if (length == 0) fputs("\\ufffd", stdout);
        else if (code_point < 0x20) printf("\\u%04x", code_point);
        else printf("\\%c", (int)code_point);
    }
    fwrite(data + from, 1, bytes - from, stdout);
    putchar('"');
}

enum { MAX_FLOAT_BYTES = 32, DIGITS = 9 };

/* Writes the number as %.9g does and returns its length. Nine digits restore every float32, with room to spare for the rounding of the
 * one product; -0 is "-0.0", since readers of JSON take "-0" for an integer, which has no sign there. Most of the time of JSON embeddings
 * would otherwise pass in printf. */
static size_t format_float(char *out, float value) {
    static const double powers[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12};
    const double size = fabs((double)value);
    if (!(size >= 1e-4 && size < 1e8)) {
        if (size == 0 && signbit(value)) return (size_t)snprintf(out, MAX_FLOAT_BYTES, "-0.0");
        return (size_t)snprintf(out, MAX_FLOAT_BYTES, isfinite(value) ? "%.9g" : "null", (double)value);
    }
    int exponent = -4; /* of the first digit */
    while (size >= (exponent < -1 ? 1 / powers[-exponent - 1] : powers[exponent + 1])) exponent++;
    uint64_t number = (uint64_t)(size * powers[DIGITS - 1 - exponent] + 0.5);
    char digits[DIGITS + 1];
    int n = 0;
    for (int i = DIGITS; i >= 0; i--, number /= 10) digits[i] = (char)('0' + number % 10);
    const bool has_carried = digits[0] != '0'; /* rounded up, to a power of ten */
    const char *first = has_carried ? digits : digits + 1;
    int n_digits = DIGITS;
    while (n_digits > 1 && first[n_digits - 1] == '0') n_digits--;
    exponent += has_carried;
    if (value < 0) out[n++] = '-';
    if (exponent < 0) {
        memcpy(out + n, "0.000", (size_t)(1 - exponent));
        n += 1 - exponent;
    }
    for (int i = 0; i < n_digits || i <= exponent; i++) {
        if (i == exponent + 1 && i > 0) out[n++] = '.';
        out[n++] = first[i];
    }
    return (size_t)n;
}

void tern__cli_json_float(float value) {
    char text[MAX_FLOAT_BYTES];
    fwrite(text, 1, format_float(text, value), stdout);
}

void tern__cli_json_floats(const float *values, size_t n) {
    char text[4096];
    size_t length = 0;
    text[length++] = '[';
    for (size_t i = 0; i < n; i++) {
        if (length > sizeof text - MAX_FLOAT_BYTES - 2) {
            fwrite(text, 1, length, stdout);
            length = 0;
        }
        if (i > 0) text[length++] = ',';
        length += format_float(text + length, values[i]);
    }
    text[length++] = ']';
    fwrite(text, 1, length, stdout);
}

/* ---- For people ---- */

/* Columns of the character at data, its length in *step; -1 when it cannot be shown as it is. */
static int character_columns(size_t *step, const char *data, size_t bytes) {
    uint32_t code_point = 0;
    const size_t length = next_code_point(&code_point, (const unsigned char *)data, bytes);
    *step = length != 0 ? length : 1;
    return length != 0 ? wcwidth((wchar_t)code_point) : -1;
}

int tern__cli_text_columns(const char *data, size_t bytes) {
    int columns = 0;
    for (size_t i = 0, step; i < bytes; i += step) {
        const int width = character_columns(&step, data + i, bytes - i);
        columns += width < 0 ? 1 : width;
        if (columns > 1 << 20) break; /* wider than any screen */
    }
    return columns;
}

void tern__cli_print_snippet(const char *data, size_t bytes, int columns, bool is_padded) {
    const bool fits = tern__cli_text_columns(data, bytes) <= columns;
    const int room = fits ? columns : columns - 3;
    int used = 0;
    for (size_t i = 0, step; i < bytes; i += step) {
        const int width = character_columns(&step, data + i, bytes - i);
        const int shown = width < 0 ? 1 : width;
        if (used + shown > room) break;
        used += shown;
        if (width < 0) fputs("\xC2\xB7", stdout);
        else fwrite(data + i, 1, step, stdout);
    }
    if (!fits) {
        fputs("...", stdout);
        used += 3;
    }
    for (; is_padded && used < columns; used++) putchar(' ');
}

/* ---- Progress ---- */

static double monotonic_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void tern__cli_progress_open(tern_cli_progress *progress) {
    *progress = (tern_cli_progress){.is_shown = isatty(STDERR_FILENO) && !isatty(STDOUT_FILENO), .started_s = monotonic_seconds()};
}

/* Is it time to draw? Then the line is begun. */
static bool begin_drawing(tern_cli_progress *progress, double fraction, double *spent_s) {
    static const char bar[] = "##############################";
    enum { BAR = sizeof bar - 1 };
    if (!progress->is_shown) return false;
    const double now_s = monotonic_seconds();
    *spent_s = now_s - progress->started_s;
    if (now_s - progress->drawn_s < 0.2) return false;
    progress->drawn_s = now_s;
    fputc('\r', stderr);
    if (fraction >= 0) fprintf(stderr, "[%-*.*s] %3.0f%%  ", BAR, (int)(fraction * BAR), bar, 100 * fraction);
    return true;
}

void tern__cli_progress_show(tern_cli_progress *progress, size_t n_texts, double fraction) {
    double spent_s;
    if (!begin_drawing(progress, fraction, &spent_s)) return;
    fprintf(stderr, "%zu texts, %.0f texts/s\033[K", n_texts, spent_s > 0 ? (double)n_texts / spent_s : 0.0);
}

void tern__cli_progress_left(tern_cli_progress *progress, double fraction, const char *what) {
    double spent_s;
    if (!begin_drawing(progress, fraction, &spent_s)) return;
    fputs(what, stderr);
    if (fraction > 0.01) fprintf(stderr, ", about %.0f s left", spent_s * (1 - fraction) / fraction);
    fputs("\033[K", stderr);
}

void tern__cli_progress_close(tern_cli_progress *progress) {
    if (progress->is_shown && progress->drawn_s > 0) fputs("\r\033[K", stderr);
}
