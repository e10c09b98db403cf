/* answer.h - the headers of an answer of the hub, and what its refusals mean.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_HUB_ANSWER_H
#define TERN_HUB_ANSWER_H

#include <time.h>

#include "base/error.h"
#include "hub/names.h"

/* Of one response. Texts are cleaned; -1 and "" where a header is missing or makes no sense. */
typedef struct tern_hub_answer {
    int status;
    char etag[129]; /* ETag without W/ and quotes; X-Linked-Etag, of a file in large file storage, goes before it */
    bool has_linked_etag;
    int64_t linked_bytes;             /* X-Linked-Size */
    int64_t content_bytes;            /* Content-Length */
    int64_t range_start, range_total; /* Content-Range: bytes START-END/TOTAL */
    int64_t retry_after_s;            /* Retry-After in seconds or as a date, else the t of RateLimit */
    tern_hub_cleaned error_code;      /* X-Error-Code: RepoNotFound, RevisionNotFound, EntryNotFound, GatedRepo ... */
    tern_hub_cleaned error_message;   /* X-Error-Message */
} tern_hub_answer;

/* One header line, or the status line, which begins a new answer. now: seconds since 1970, for dates. */
void tern__hub_answer_line(tern_hub_answer *answer, const char *line, size_t bytes, time_t now);

/* What was asked for, for messages. */
typedef struct tern_hub_question {
    const char *endpoint, *repo_id, *revision;
    const char *path; /* NULL: the list of files */
    bool has_token;
} tern_hub_question;

/* The message of an answer that is no success: what is wrong and what to do. */
tern_status tern__hub_answer_fail(const tern_hub_answer *answer, const tern_hub_question *question, tern_error *err);
/* Is it worth asking again: too many requests, a server in trouble? */
bool tern__hub_answer_is_passing(const tern_hub_answer *answer);

#endif
