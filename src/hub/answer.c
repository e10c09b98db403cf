/* answer.c - reading headers that nobody vouches for, and putting the hub's refusals into words.
 * source: RFC 9110 (Retry-After, Content-Range, ETag, dates); huggingface_hub's hf_raise_for_status
 * SPDX-License-Identifier: Apache-2.0 */
#include "hub/answer.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* A number of at most 18 digits at *text, which moves behind it; -1 when there is none. */
static int64_t read_digits(const char **text, const char *end) {
    int64_t value = 0;
    int n = 0;
    for (; *text < end && **text >= '0' && **text <= '9' && n < 18; (*text)++, n++) value = value * 10 + (**text - '0');
    return n > 0 ? value : -1;
}

/* A header that is nothing but a number. */
static int64_t read_number_header(const char *text, const char *end) {
    int64_t value = read_digits(&text, end);
    return text == end ? value : -1;
}

/* W/"etag" or "etag". */
static void read_etag(tern_hub_answer *answer, const char *text, const char *end) {
    if (end - text > 2 && text[0] == 'W' && text[1] == '/') text += 2;
    if (end - text >= 2 && text[0] == '"' && end[-1] == '"') text++, end--;
    size_t n = (size_t)(end - text);
    if (!tern__hub_is_etag(text, n)) return;
    memcpy(answer->etag, text, n);
    answer->etag[n] = '\0';
}

static void read_content_range(tern_hub_answer *answer, const char *text, const char *end) {
    static const char unit[] = "bytes ";
    if ((size_t)(end - text) < sizeof unit - 1 || strncasecmp(text, unit, sizeof unit - 1) != 0) return;
    text += sizeof unit - 1;
    int64_t start = read_digits(&text, end);
    if (start < 0 || text == end || *text++ != '-' || read_digits(&text, end) < 0 || text == end || *text++ != '/') return;
    answer->range_start = start;
    answer->range_total = read_number_header(text, end);
}

/* Days since 1970 of a date of the Gregorian calendar, counted in years that begin in March. */
static int64_t days_of_date(int64_t year, int month, int day) {
    year -= month <= 2;
    int64_t era = year / 400, year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" in seconds since 1970; -1 when it is not of that form. */
static int64_t read_date(const char *text, const char *end) {
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    char copy[32], month[4];
    int day, year, hour, minute, second;
    size_t n = (size_t)(end - text);
    if (n >= sizeof copy) return -1;
    memcpy(copy, text, n);
    copy[n] = '\0';
    if (sscanf(copy, "%*3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d GMT", &day, month, &year, &hour, &minute, &second) != 6) return -1;
    const char *found = strlen(month) == 3 ? strstr(months, month) : NULL;
    if (!found || (found - months) % 3 != 0 || day < 1 || day > 31 || year < 1970 || hour < 0 || minute < 0 || second < 0) return -1;
    return ((days_of_date(year, (int)(found - months) / 3 + 1, day) * 24 + hour) * 60 + minute) * 60 + second;
}

static void read_retry_after(tern_hub_answer *answer, const char *text, const char *end, time_t now) {
    int64_t seconds = read_number_header(text, end), date = seconds < 0 ? read_date(text, end) : -1;
    if (date >= 0) seconds = date > (int64_t)now ? date - (int64_t)now : 0;
    if (seconds >= 0) answer->retry_after_s = seconds;
}

/* "api";r=0;t=55: no requests left for 55 seconds. Retry-After goes before it. */
static void read_rate_limit(tern_hub_answer *answer, const char *text, const char *end) {
    for (; answer->retry_after_s < 0 && end - text > 3; text++) {
        if (memcmp(text, ";t=", 3) != 0) continue;
        text += 3;
        answer->retry_after_s = read_digits(&text, end);
        return;
    }
}

static bool is_header(const char *line, size_t n_name, const char *name) {
    return n_name == strlen(name) && strncasecmp(line, name, n_name) == 0;
}

void tern__hub_answer_line(tern_hub_answer *answer, const char *line, size_t bytes, time_t now) {
    const char *end = line + bytes;
    while (end > line && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' ' || end[-1] == '\t')) end--;
    if (end - line >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        *answer = (tern_hub_answer){.linked_bytes = -1, .content_bytes = -1, .range_start = -1, .range_total = -1, .retry_after_s = -1};
        const char *space = memchr(line, ' ', (size_t)(end - line));
        const char *digits = space ? space + 1 : end;
        if (end - digits >= 3) end = digits + 3;
        int64_t status = read_digits(&digits, end);
        answer->status = status >= 100 && status <= 999 ? (int)status : 0;
        return;
    }
    const char *colon = memchr(line, ':', (size_t)(end - line));
    if (!colon) return;
    const char *value = colon + 1;
    while (value < end && (*value == ' ' || *value == '\t')) value++;
    size_t n_name = (size_t)(colon - line);
    if (is_header(line, n_name, "X-Linked-Etag")) {
        read_etag(answer, value, end);
        answer->has_linked_etag = answer->etag[0] != '\0';
    } else if (is_header(line, n_name, "ETag")) {
        if (!answer->has_linked_etag) read_etag(answer, value, end);
    } else if (is_header(line, n_name, "X-Linked-Size")) {
        answer->linked_bytes = read_number_header(value, end);
    } else if (is_header(line, n_name, "Content-Length")) {
        answer->content_bytes = read_number_header(value, end);
    } else if (is_header(line, n_name, "Content-Range")) {
        read_content_range(answer, value, end);
    } else if (is_header(line, n_name, "Retry-After")) {
        read_retry_after(answer, value, end, now);
    } else if (is_header(line, n_name, "RateLimit")) {
        read_rate_limit(answer, value, end);
    } else if (is_header(line, n_name, "X-Error-Code")) {
        answer->error_code = tern__hub_clean(value, (size_t)(end - value));
    } else if (is_header(line, n_name, "X-Error-Message")) {
        answer->error_message = tern__hub_clean(value, (size_t)(end - value));
    }
}

/* ---- Refusals ---- */

bool tern__hub_answer_is_passing(const tern_hub_answer *answer) {
    int s = answer->status;
    return s == 408 || s == 429 || s == 500 || s == 502 || s == 503 || s == 504;
}

/* " (the hub says: ...)", or nothing. */
typedef struct hub_saying {
    char text[256];
} hub_saying;

static hub_saying what_the_hub_says(const tern_hub_answer *answer) {
    hub_saying saying = {""};
    if (answer->error_message.text[0]) snprintf(saying.text, sizeof saying.text, " (the hub says: %s)", answer->error_message.text);
    return saying;
}

static tern_status fail_access(const tern_hub_answer *answer, const tern_hub_question *q, tern_error *err) {
    hub_saying saying = what_the_hub_says(answer);
    const char *says = saying.text;
    if (strcmp(answer->error_code.text, "GatedRepo") == 0)
        return TERN_FAIL(err, TERN_E_IO, "%s: this repository is gated: accept its terms at %s/%s, %s%s", q->repo_id, q->endpoint,
                         q->repo_id,
                         q->has_token ? "with the account of HF_TOKEN, and wait until access is granted"
                                      : "make a token at the settings of your account, and set HF_TOKEN to it",
                         says);
    if (answer->status == 401 && q->has_token)
        return TERN_FAIL(err, TERN_E_IO,
                         "%s: there is no such repository at %s, or it is private and the token of HF_TOKEN does not open it%s", q->repo_id,
                         q->endpoint, says);
    if (answer->status == 403)
        return TERN_FAIL(err, TERN_E_IO, "%s: %s refuses access (403)%s: %s", q->repo_id, q->endpoint, says,
                         q->has_token ? "check what the token of HF_TOKEN may read" : "set HF_TOKEN to a token that may read it");
    return TERN_FAIL(err, TERN_E_IO,
                     "%s: there is no such repository at %s, or it is private: check the name; for a private one set HF_TOKEN%s",
                     q->repo_id, q->endpoint, says);
}

tern_status tern__hub_answer_fail(const tern_hub_answer *answer, const tern_hub_question *q, tern_error *err) {
    hub_saying saying = what_the_hub_says(answer);
    const char *code = answer->error_code.text;
    if (strcmp(code, "RevisionNotFound") == 0)
        return TERN_FAIL(err, TERN_E_IO, "%s: has no revision \"%s\": see the branches and tags at %s/%s/tree/main%s", q->repo_id,
                         q->revision, q->endpoint, q->repo_id, saying.text);
    if (strcmp(code, "EntryNotFound") == 0 && q->path)
        return TERN_FAIL(err, TERN_E_IO, "%s: has no file %s at revision \"%s\"%s", q->repo_id, q->path, q->revision, saying.text);
    if (answer->status == 401 || answer->status == 403 || strcmp(code, "GatedRepo") == 0 || strcmp(code, "RepoNotFound") == 0 ||
        (answer->status == 404 && !q->path))
        return fail_access(answer, q, err);
    if (answer->status == 429)
        return TERN_FAIL(err, TERN_E_IO, "%s: %s answers 429, too many requests%s: try again later%s", q->repo_id, q->endpoint, saying.text,
                         q->has_token ? "" : ", or set HF_TOKEN, which allows more");
    return TERN_FAIL(err, TERN_E_IO, "%s: %s answers with status %d for %s%s", q->repo_id, q->endpoint, answer->status,
                     q->path ? q->path : "the list of files", saying.text);
}
